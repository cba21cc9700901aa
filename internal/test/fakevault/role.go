package fakevault

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// tokenRole is the part of a role, of any login, that concerns its tokens.
type tokenRole struct {
	policies    []string
	ttl         time.Duration
	max         time.Duration
	explicitMax time.Duration
	period      time.Duration
	uses        int
	noDefault   bool
	kind        string // of the tokens: "" or "service", "batch"
}

// tokenParameters are the common parameters of the roles of all logins.
var tokenParameters = none.
	with(duration, "token_ttl", "token_max_ttl", "token_explicit_max_ttl", "token_period").
	with(integer, "token_num_uses").
	with(boolean, "token_no_default_policy").
	with(plain, "token_policies", "token_type").
	with(unsupported, "token_bound_cidrs")

// update applies the fields in q, or none if one is invalid.
func (r *tokenRole) update(q *request) *failure {
	changed := *r
	for name, to := range map[string]*time.Duration{
		"token_ttl":              &changed.ttl,
		"token_max_ttl":          &changed.max,
		"token_explicit_max_ttl": &changed.explicitMax,
		"token_period":           &changed.period,
	} {
		if d, ok := q.data[name].(time.Duration); ok {
			*to = d
		}
	}
	for _, name := range []string{"policies", "token_policies"} {
		if value, ok := q.data[name]; ok {
			changed.policies = stringsOf(value)
		}
	}
	if n, ok := q.data["token_num_uses"].(int); ok {
		changed.uses = n
	}
	if no, ok := q.data["token_no_default_policy"].(bool); ok {
		changed.noDefault = no
	}
	if kind, ok := q.data["token_type"].(string); ok {
		switch kind {
		case "", "default":
			changed.kind = ""
		case "service", "batch":
			changed.kind = kind
		case "default-service", "default-batch":
			return notImplemented("a role's token_type %q", kind)
		default:
			return fail(http.StatusBadRequest, "invalid 'token_type' value %q", kind)
		}
	}
	const cannot = "'token_type' cannot be 'batch' or 'default_batch' when set to generate "
	switch batch := changed.kind == "batch"; {
	case changed.uses < 0:
		return fail(http.StatusBadRequest, "'token_num_uses' cannot be negative")
	case batch && changed.period != 0:
		return fail(http.StatusBadRequest, cannot+"periodic tokens")
	case batch && changed.uses != 0:
		return fail(http.StatusBadRequest, cannot+"tokens with limited use count")
	case changed.max > 0 && changed.ttl > changed.max:
		return fail(http.StatusBadRequest, "'token_ttl' cannot be greater than 'token_max_ttl'")
	}
	*r = changed
	return nil
}

func (r *tokenRole) describe() map[string]any {
	return map[string]any{
		"token_policies":          append([]string{}, r.policies...),
		"token_ttl":               int(r.ttl / time.Second),
		"token_max_ttl":           int(r.max / time.Second),
		"token_explicit_max_ttl":  int(r.explicitMax / time.Second),
		"token_period":            int(r.period / time.Second),
		"token_num_uses":          r.uses,
		"token_no_default_policy": r.noDefault,
		"token_bound_cidrs":       []string{},
		"token_type":              cmp.Or(r.kind, "default"),
	}
}

// login returns a token of the role. mount is the mount of the login, alias the client.
func (s *Server) login(r tokenRole, mount, alias, displayName string,
	meta map[string]string) *reply {
	who := mount + "\n" + alias
	if s.entities[who] == "" {
		s.entities[who] = newID()
	}
	t := &token{
		path:        mount + "login",
		displayName: strings.ReplaceAll(strings.Trim(strings.TrimPrefix(mount, "auth/"), "/"), "/", "-"),
		policies:    slices.Clone(r.policies),
		meta:        meta,
		entity:      s.entities[who],
		noDefault:   r.noDefault,
		ttl:         r.ttl,
		max:         r.max,
		explicitMax: r.explicitMax,
		period:      r.period,
		renewable:   true,
		batch:       r.kind == "batch",
		uses:        r.uses,
	}
	if displayName != "" {
		t.displayName += "-" + displayName
	}
	warnings := s.issue(t)
	return &reply{auth: t.auth(s.clock()), warnings: warnings}
}
