package fakevault

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A token ends when it expires, when it is revoked, and with its parent.
type token struct {
	id, accessor string
	path         string // at which it was created
	parent       string // empty for an orphan
	displayName  string
	policies     []string
	meta         map[string]string
	entity       string
	noDefault    bool // without the policy default

	issued, expires time.Time     // expires is zero for a token that never does
	renewed         time.Time     // zero unless it was
	ttl             time.Duration // at first
	usual           time.Duration // of a renewal without an increment
	max             time.Duration // the limit of renewals, from issued
	explicitMax     time.Duration
	period          time.Duration // a periodic token is renewed for this long, without end
	renewable       bool
	batch           bool // it has no accessor, and is neither renewed nor revoked
	granted         int  // uses at first; 0 for any number
	uses            int  // left; 0 for any number, -1 once the last is begun
}

// issue completes a token whose policies and requested limits are set. It returns warnings
// about limits that were not granted.
func (s *Server) issue(t *token) []string {
	t.id, t.accessor = "hvs."+rand.Text(), rand.Text()[:24]
	if t.batch {
		t.id, t.accessor, t.renewable = "hvb."+rand.Text(), "", false
	}
	t.issued, t.granted = s.clock(), t.uses
	for i, name := range t.policies {
		t.policies[i] = strings.ToLower(strings.TrimSpace(name))
	}
	isRoot := slices.Contains(t.policies, "root")
	if !isRoot && !t.noDefault {
		t.policies = append(t.policies, "default")
	}
	slices.Sort(t.policies)
	t.policies = slices.Compact(t.policies)

	if isRoot && t.ttl == 0 && t.period == 0 {
		t.ttl = t.explicitMax
	}
	var warnings []string
	if !isRoot || t.ttl > 0 || t.period > 0 {
		if t.ttl == 0 {
			t.ttl = maxTTL * time.Second
		}
		if t.period > 0 {
			t.ttl = t.period
		}
		wish := t.ttl
		t.ttl, warnings = t.capped(wish, t.issued)
		t.usual, t.expires = t.ttl, t.issued.Add(t.ttl)
		if !t.own() {
			t.usual = wish
		}
	} else {
		t.renewable = false
	}
	for _, name := range t.policies {
		if name != "root" && s.policies[name] == nil {
			warnings = append(warnings, fmt.Sprintf("Policy %q does not exist", name))
		}
	}
	s.tokens[t.id] = t
	return warnings
}

// capped limits a requested duration d from now to the maximum of the token.
func (t *token) capped(d time.Duration, now time.Time) (time.Duration, []string) {
	limit := time.Duration(maxTTL) * time.Second
	for _, l := range []time.Duration{t.max, t.explicitMax} {
		if l > 0 && l < limit {
			limit = l
		}
	}
	if t.period > 0 && t.explicitMax == 0 {
		return d, nil
	}
	left := limit - now.Sub(t.issued)
	if d <= roundUp(left) {
		return min(d, left), nil
	}
	what := "TTL"
	if t.period > 0 {
		what = "period"
	}
	return left,
		[]string{fmt.Sprintf("%s of %q exceeded the effective max_ttl of %q; %s value is capped accordingly",
			what, short(d), short(roundUp(left)), what)}
}

// valid returns the token with that id if neither it nor the one that made it
// has ended.
func (s *Server) valid(id string) *token {
	t := s.tokens[id]
	if t == nil {
		return nil
	}
	expired := !t.expires.IsZero() && !s.clock().Before(t.expires)
	if expired || t.parent != "" && s.valid(t.parent) == nil {
		s.revoke(t)
		return nil
	}
	return t
}

// revoke ends a token and those made with it.
func (s *Server) revoke(t *token) {
	delete(s.tokens, t.id)
	for _, child := range s.tokens {
		if child.parent == t.id {
			s.revoke(child)
		}
	}
}

// spend takes one of the token's uses. The result has to be called when the
// request is done with.
func (s *Server) spend(t *token) (done func()) {
	if t.uses > 0 {
		if t.uses--; t.uses == 0 {
			t.uses = -1
		}
	}
	return func() {
		if t.uses < 0 {
			s.revoke(t)
		}
	}
}

// renew makes the token last for d from now on, or for its usual time if d is
// zero.
func (s *Server) renew(t *token, d time.Duration) ([]string, *failure) {
	switch {
	case t.expires.IsZero():
		return nil, fail(http.StatusBadRequest, "invalid lease ID")
	case !t.renewable:
		return nil, fail(http.StatusBadRequest, "lease is not renewable")
	case t.period > 0:
		d = t.period
	case d == 0:
		d = t.usual
	}
	now := s.clock()
	d, warnings := t.capped(d, now)
	t.expires, t.renewed = now.Add(d), now
	if t.own() {
		t.usual = d
	}
	return warnings, nil
}

// own reports whether the token was made by another. One from a login is
// renewed for the time its role says.
func (t *token) own() bool { return strings.HasPrefix(t.path, "auth/token/") }

func (t *token) kind() string {
	if t.batch {
		return "batch"
	}
	return "service"
}

// client identifies a client as Vault does: by the entity, or else by the set of
// policies.
func (t *token) client() string {
	if t.entity != "" {
		return t.entity
	}
	sum := sha256.Sum256([]byte(strings.Join(t.policies, ",")))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// auth describes the token to the one it is for.
func (t *token) auth(now time.Time) *auth {
	a := &auth{
		ClientToken:   t.id,
		Accessor:      t.accessor,
		Policies:      t.policies,
		TokenPolicies: t.policies,
		Metadata:      t.meta,
		Renewable:     t.renewable,
		EntityID:      t.entity,
		TokenType:     t.kind(),
		Orphan:        t.parent == "",
		NumUses:       t.granted,
	}
	if !t.expires.IsZero() {
		a.LeaseDuration = int(roundUp(t.expires.Sub(now)) / time.Second)
	}
	return a
}

// describe returns the response of a lookup of the token.
func (t *token) describe(now time.Time) map[string]any {
	d := map[string]any{
		"id":               t.id,
		"accessor":         t.accessor,
		"policies":         t.policies,
		"path":             t.path,
		"meta":             t.meta,
		"display_name":     t.displayName,
		"num_uses":         t.uses,
		"orphan":           t.parent == "",
		"creation_time":    t.issued.Unix(),
		"creation_ttl":     int(t.ttl / time.Second),
		"expire_time":      nil,
		"ttl":              0,
		"explicit_max_ttl": int(t.explicitMax / time.Second),
		"entity_id":        t.entity,
		"type":             t.kind(),
	}
	if !t.expires.IsZero() {
		d["expire_time"] = stamp(t.expires)
		d["ttl"] = int(t.expires.Sub(now.Round(time.Second)) / time.Second)
	}
	if t.path != "auth/token/root" {
		d["issue_time"] = stamp(t.issued)
		d["renewable"] = t.renewable
	}
	if !t.renewed.IsZero() {
		d["last_renewal"], d["last_renewal_time"] = stamp(t.renewed), t.renewed.Unix()
	}
	if t.period > 0 {
		d["period"] = int(t.period / time.Second)
	}
	return d
}

// short writes a duration without the units that are zero at its end.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func roundUp(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}
