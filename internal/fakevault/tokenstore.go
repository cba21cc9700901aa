package fakevault

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// tokenStore is the backend at auth/token/.
type tokenStore struct{ *Server }

func (b *tokenStore) open(string) bool   { return false }
func (b *tokenStore) exists(string) bool { return true }

func (b *tokenStore) handle(q *request) (*reply, *failure) {
	switch {
	case q.path == "lookup-self" && (q.op == read || q.op == update):
		return &reply{data: q.token.describe(b.clock())}, nil
	case q.op != update:
	case q.path == "create":
		return b.create(q)
	case q.path == "lookup":
		return b.lookup(q)
	case q.path == "renew-self":
		return b.renew(q, q.token)
	case q.path == "renew":
		t := b.valid(q.field("token"))
		if t == nil {
			return nil, fail(http.StatusBadRequest, "token not found")
		}
		return b.renew(q, t)
	case q.path == "revoke-self":
		b.revoke(q.token)
		return nil, nil
	case q.path == "revoke":
		if q.field("token") == "" {
			return nil, fail(http.StatusBadRequest, "missing token ID")
		}
		if t := b.valid(q.field("token")); t != nil {
			b.revoke(t)
		}
		return nil, nil
	}
	return nil, unsupportedPath()
}

// create makes a token with no more rights than the one that asks for it,
// unless that one is root.
func (b *tokenStore) create(q *request) (*reply, *failure) {
	if q.token.uses != 0 {
		return nil, fail(http.StatusBadRequest, "restricted use token cannot generate child tokens")
	}
	t := &token{
		path:        "auth/token/create",
		parent:      q.token.id,
		displayName: "token",
		policies:    stringsOf(q.data["policies"]),
		renewable:   boolOf(q.data["renewable"], true),
		noDefault:   boolOf(q.data["no_default_policy"], false),
		uses:        numberOf(q.data["num_uses"]),
	}
	if err := t.setTimes(q, "ttl", "explicit_max_ttl", "period"); err != nil {
		return nil, err
	}
	if name := q.field("display_name"); name != "" {
		t.displayName += "-" + name
	}
	if meta, ok := q.data["meta"].(map[string]any); ok {
		t.meta = map[string]string{}
		for name, value := range meta {
			t.meta[name], _ = value.(string)
		}
	}

	isRoot := slices.Contains(q.token.policies, "root")
	if boolOf(q.data["no_parent"], false) {
		if !isRoot {
			return nil, fail(http.StatusBadRequest, "root or sudo privileges required to create orphan token")
		}
		t.parent = ""
	}
	if len(t.policies) == 0 {
		t.policies = slices.Clone(q.token.policies)
	}
	for _, name := range t.policies {
		if !isRoot && !slices.Contains(q.token.policies, name) {
			return nil, fail(http.StatusBadRequest, "child policies must be subset of parent")
		}
	}
	warnings := b.issue(t)
	return &reply{auth: t.auth(b.clock()), warnings: warnings}, nil
}

// setTimes reads how long a token is to last.
func (t *token) setTimes(q *request, ttl, explicitMax, period string) *failure {
	for name, to := range map[string]*time.Duration{ttl: &t.ttl, explicitMax: &t.explicitMax, period: &t.period} {
		d, err := durationOf(q.data[name])
		if err != nil {
			return fail(http.StatusBadRequest, "%v", err)
		}
		*to = d
	}
	return nil
}

func (b *tokenStore) lookup(q *request) (*reply, *failure) {
	id := q.field("token")
	if id == "" {
		id = q.secret
	}
	t := b.valid(id)
	if t == nil {
		return nil, fail(http.StatusForbidden, "bad token")
	}
	return &reply{data: t.describe(b.clock())}, nil
}

func (b *tokenStore) renew(q *request, t *token) (*reply, *failure) {
	d, err := durationOf(q.data["increment"])
	if err != nil {
		return nil, fail(http.StatusBadRequest, "%s", strings.TrimSpace(err.Error()))
	}
	warnings, failure := b.Server.renew(t, d)
	if failure != nil {
		return nil, failure
	}
	return &reply{auth: t.auth(b.clock()), warnings: warnings}, nil
}
