package fakevault

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// tokenStore is the backend at auth/token/.
type tokenStore struct{ *Server }

func (b *tokenStore) open(string) bool                   { return false }
func (b *tokenStore) exists(string) (exists, known bool) { return true, false }

// createParameters are those of both ways to make a token.
var createParameters = none.
	with(integer, "num_uses").
	with(boolean, "renewable", "no_default_policy", "no_parent").
	with(plain, "policies", "display_name", "explicit_max_ttl", "period", "ttl", "type", "meta").
	with(unsupported, "entity_alias", "id", "lease")

func (b *tokenStore) parameters(path string) parameters {
	switch path {
	case "create", "create-orphan":
		return createParameters
	case "lookup", "lookup-self", "revoke", "revoke-orphan":
		return none.with(plain, "token")
	case "lookup-accessor", "revoke-accessor":
		return none.with(plain, "accessor")
	case "renew", "renew-self":
		return none.with(plain, "token").with(duration, "increment")
	case "renew-accessor":
		return none.with(plain, "accessor").with(duration, "increment")
	}
	return none
}

func (b *tokenStore) handle(q *request) (*reply, *failure) {
	serve := map[string]func(*request) (*reply, *failure){
		"create":          b.create,
		"create-orphan":   b.create,
		"lookup":          b.lookup,
		"lookup-self":     b.lookup,
		"lookup-accessor": b.serveAccessor,
		"renew":           b.renew,
		"renew-self":      b.renew,
		"renew-accessor":  b.serveAccessor,
		"revoke":          b.revoke,
		"revoke-self":     b.revoke,
		"revoke-accessor": b.serveAccessor,
		"revoke-orphan":   b.revokeOrphan,
	}[q.path]
	name, _, _ := strings.Cut(q.path, "/")
	switch {
	case serve == nil && slices.Contains([]string{"accessors", "create", "roles", "tidy"}, name):
		return nil, notImplemented("auth/token/%s", q.path)
	case serve == nil:
		return nil, unsupportedPath()
	case q.op == update, q.op == read && (q.path == "lookup" || q.path == "lookup-self"):
		return serve(q)
	}
	return nil, unsupportedOperation()
}

// displayNameOdd matches the characters that a display name cannot contain.
var displayNameOdd = regexp.MustCompile(`[^a-zA-Z0-9-]`)

// create makes a token with no more rights than the one that asks for it,
// unless that one has sudo.
func (b *tokenStore) create(q *request) (*reply, *failure) {
	if q.token.batch {
		return nil, fail(http.StatusBadRequest, "batch tokens cannot create more tokens")
	}
	if q.token.uses != 0 {
		return nil, fail(http.StatusBadRequest, "restricted use token cannot generate child tokens")
	}
	t := &token{
		path:        "auth/token/" + q.path,
		parent:      q.token.id,
		entity:      q.token.entity,
		displayName: "token",
		policies:    policiesOf(q.data["policies"]),
		renewable:   boolOf(q.data["renewable"], true),
		uses:        numberOf(q.data["num_uses"]),
	}
	switch q.field("type") {
	case "", "service":
	case "batch":
		if err := t.makeBatch(q); err != nil {
			return nil, err
		}
	default:
		return nil, fail(http.StatusBadRequest, "invalid 'token_type' value")
	}
	if t.uses < 0 {
		return nil, fail(http.StatusBadRequest, "number of uses cannot be negative")
	}
	if name := q.field("display_name"); name != "" {
		t.displayName = strings.TrimSuffix(displayNameOdd.ReplaceAllString("token-"+name, "-"), "-")
	}
	if meta, ok := q.data["meta"].(map[string]any); ok {
		t.meta = map[string]string{}
		for name, value := range meta {
			t.meta[name], _ = value.(string)
		}
	}

	isSudo := b.aclOf(q.token).allows(update, t.path, true)
	if err := t.setPolicies(q, isSudo); err != nil {
		return nil, err
	}
	noParent := boolOf(q.data["no_parent"], false)
	if noParent && !isSudo {
		return nil, fail(http.StatusBadRequest, "root or sudo privileges required to create orphan token")
	}
	if noParent || q.path == "create-orphan" {
		t.parent, t.entity = "", ""
	}
	if err := t.setTimes(q, isSudo); err != nil {
		return nil, err
	}
	if slices.Contains(t.policies, "root") && t.ttl == 0 && t.period == 0 && t.explicitMax == 0 &&
		!q.token.expires.IsZero() {
		return nil, fail(http.StatusBadRequest,
			"expiring root tokens cannot create non-expiring root tokens")
	}
	warnings := b.issue(t)
	return &reply{auth: t.auth(b.clock()), warnings: warnings}, nil
}

// policiesOf returns the policies that v names. Unlike those of a role, a text
// is one policy, commas and all.
func policiesOf(v any) []string {
	if name, ok := v.(string); ok && name != "" {
		return []string{name}
	}
	return stringsOf(v)
}

// makeBatch makes the token a batch token, unless q has options that those do not
// have.
func (t *token) makeBatch(q *request) *failure {
	for _, name := range []string{"explicit_max_ttl", "num_uses", "period"} {
		if name == "num_uses" {
			if t.uses != 0 {
				return fail(http.StatusBadRequest, "batch tokens cannot have %q set", name)
			}
			continue
		}
		d, err := durationOf(q.data[name])
		if err != nil {
			return fail(http.StatusBadRequest, "%q value could not be parsed", name)
		}
		if d != 0 {
			return fail(http.StatusBadRequest, "batch tokens cannot have %q set", name)
		}
	}
	t.batch, t.renewable = true, false
	return nil
}

// setPolicies completes the policies that q asks for.
func (t *token) setPolicies(q *request, isSudo bool) *failure {
	without := boolOf(q.data["no_default_policy"], false)
	parent := q.token.policies
	switch {
	case len(t.policies) == 0:
		t.policies, t.noDefault = slices.Clone(parent), true
	case !isSudo:
		for _, name := range t.policies {
			if !slices.Contains(parent, name) {
				return fail(http.StatusBadRequest, "child policies must be subset of parent")
			}
		}
		t.noDefault = without || !slices.Contains(parent, "default")
	default:
		t.noDefault = without
	}
	if without {
		t.policies = slices.DeleteFunc(t.policies, func(name string) bool { return name == "default" })
	}
	if slices.Contains(t.policies, "root") {
		if !slices.Contains(parent, "root") {
			return fail(http.StatusBadRequest,
				"root tokens may not be created without parent token being root")
		}
		if t.batch {
			return fail(http.StatusBadRequest, "batch tokens cannot be root tokens")
		}
	}
	return nil
}

// setTimes reads how long a token is to last.
func (t *token) setTimes(q *request, isSudo bool) *failure {
	for _, wish := range []struct {
		name string
		to   *time.Duration
	}{{"explicit_max_ttl", &t.explicitMax}, {"period", &t.period}, {"ttl", &t.ttl}} {
		d, err := durationOf(q.data[wish.name])
		switch {
		case err != nil:
			return fail(http.StatusBadRequest, "%v", err)
		case d < 0:
			return fail(http.StatusBadRequest, "%s must be positive", wish.name)
		case d > 0 && wish.name == "period" && !isSudo:
			return fail(http.StatusBadRequest, "root or sudo privileges required to create periodic token")
		}
		*wish.to = d
	}
	return nil
}

// asked returns the token that a request is about: its own, or the one it
// names, which is nil if it is not valid.
func (b *tokenStore) asked(q *request) *token {
	if strings.HasSuffix(q.path, "-self") {
		return q.token
	}
	return b.valid(q.field("token"))
}

func (b *tokenStore) lookup(q *request) (*reply, *failure) {
	t := b.asked(q)
	if q.field("token") == "" {
		t = q.token
	}
	if t == nil {
		return nil, fail(http.StatusForbidden, "bad token")
	}
	return &reply{data: t.describe(b.clock())}, nil
}

func (b *tokenStore) renew(q *request) (*reply, *failure) {
	t := b.asked(q)
	switch {
	case t == nil && q.field("token") == "":
		return nil, fail(http.StatusBadRequest, "missing token ID")
	case t == nil:
		return nil, fail(http.StatusBadRequest, "token not found")
	case t.batch:
		return nil, fail(http.StatusBadRequest, "batch tokens cannot be renewed")
	}
	increment, _ := q.data["increment"].(time.Duration)
	warnings, failure := b.Server.renew(t, increment)
	if failure != nil {
		return nil, failure
	}
	return &reply{auth: t.auth(b.clock()), warnings: warnings}, nil
}

func (b *tokenStore) revoke(q *request) (*reply, *failure) {
	t := b.asked(q)
	switch {
	case t == nil && q.field("token") == "":
		return nil, fail(http.StatusBadRequest, "missing token ID")
	case t == nil:
		return nil, nil
	case t.batch:
		return nil, fail(http.StatusBadRequest, "batch tokens cannot be revoked")
	}
	b.Server.revoke(t)
	return nil, nil
}

// revokeOrphan ends a token without those made with it.
func (b *tokenStore) revokeOrphan(q *request) (*reply, *failure) {
	t := b.asked(q)
	switch {
	case t == nil && q.field("token") == "":
		return nil, fail(http.StatusBadRequest, "missing token ID")
	case t == nil:
		return nil, fail(http.StatusBadRequest, "token to revoke not found")
	case t.batch:
		return nil, fail(http.StatusBadRequest, "batch tokens cannot be revoked")
	}
	for _, child := range b.tokens {
		if child.parent == t.id {
			child.parent = ""
		}
	}
	b.Server.revoke(t)
	return nil, nil
}

// serveAccessor answers lookup-accessor, renew-accessor and revoke-accessor,
// which do not show the token itself.
func (b *tokenStore) serveAccessor(q *request) (*reply, *failure) {
	accessor := q.field("accessor")
	if accessor == "" {
		return nil, failed(http.StatusBadRequest, "missing accessor")
	}
	action := strings.TrimSuffix(q.path, "-accessor")
	var named *token
	for id, t := range b.tokens {
		if t.accessor == accessor {
			named = b.valid(id)
		}
	}
	if named == nil {
		if action == "revoke" {
			return &reply{warnings: []string{"No token found with this accessor"}}, nil
		}
		return nil, failed(http.StatusBadRequest, "invalid accessor")
	}
	of := *q
	of.path, of.data = action, map[string]any{"token": named.id, "increment": q.data["increment"]}
	switch action {
	case "lookup":
		rep, err := b.lookup(&of)
		if data, ok := rep.data.(map[string]any); ok && err == nil {
			data["id"] = ""
		}
		return rep, err
	case "renew":
		rep, err := b.renew(&of)
		if err == nil {
			rep.auth.ClientToken = ""
		}
		return rep, err
	case "revoke":
		return b.revoke(&of)
	}
	panic(fmt.Sprintf("fakevault: %s", q.path))
}
