package fakevault

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// tokenRole is the part of a role, of any login, that is about the tokens it
// gives out.
type tokenRole struct {
	policies    []string
	ttl         time.Duration
	max         time.Duration
	explicitMax time.Duration
	period      time.Duration
	uses        int
	noDefault   bool
}

// update takes over the fields that q has.
func (r *tokenRole) update(q *request) *failure {
	for name, to := range map[string]*time.Duration{
		"token_ttl":              &r.ttl,
		"token_max_ttl":          &r.max,
		"token_explicit_max_ttl": &r.explicitMax,
		"token_period":           &r.period,
	} {
		if value, ok := q.data[name]; ok {
			d, err := durationOf(value)
			if err != nil {
				return fail(http.StatusBadRequest, "%v", err)
			}
			*to = d
		}
	}
	for _, name := range []string{"policies", "token_policies"} {
		if value, ok := q.data[name]; ok {
			r.policies = stringsOf(value)
		}
	}
	if value, ok := q.data["token_num_uses"]; ok {
		r.uses = numberOf(value)
	}
	r.noDefault = boolOf(q.data["token_no_default_policy"], r.noDefault)
	return nil
}

func (r *tokenRole) describe() map[string]any {
	return map[string]any{
		"token_policies":          r.policies,
		"token_ttl":               int(r.ttl / time.Second),
		"token_max_ttl":           int(r.max / time.Second),
		"token_explicit_max_ttl":  int(r.explicitMax / time.Second),
		"token_period":            int(r.period / time.Second),
		"token_num_uses":          r.uses,
		"token_no_default_policy": r.noDefault,
		"token_bound_cidrs":       []string{},
		"token_type":              "default",
	}
}

// login gives out a token of the role. mount is that of the login, alias who
// has logged in there.
func (s *Server) login(r tokenRole, mount, alias, displayName string, meta map[string]string) *reply {
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
		uses:        r.uses,
	}
	if displayName != "" {
		t.displayName += "-" + displayName
	}
	warnings := s.issue(t)
	return &reply{auth: t.auth(s.clock()), warnings: warnings}
}
