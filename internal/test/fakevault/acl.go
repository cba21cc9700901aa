package fakevault

import (
	"cmp"
	"slices"
	"strings"
)

// An acl is the policies of one token, taken together.
type acl struct {
	root  bool
	rules []rule // no two with the same path and glob
}

// aclOf merges the policies of a token. If one policy grants a capability, it is granted,
// unless another policy denies the same path.
func (s *Server) aclOf(t *token) acl {
	var a acl
	for _, name := range t.policies {
		if name == "root" {
			return acl{root: true}
		}
		if p := s.policies[name]; p != nil {
			for _, r := range p.rules {
				a.add(r)
			}
		}
	}
	return a
}

func (a *acl) add(r rule) {
	same := func(o rule) bool { return o.path == r.path && o.glob == r.glob }
	if slices.Contains(r.capabilities, deny) {
		r.capabilities = []operation{deny}
	}
	i := slices.IndexFunc(a.rules, same)
	switch {
	case i < 0:
		a.rules = append(a.rules, r)
	case slices.Contains(a.rules[i].capabilities, deny):
	case slices.Contains(r.capabilities, deny):
		a.rules[i] = r
	default:
		a.rules[i].capabilities = slices.Concat(a.rules[i].capabilities, r.capabilities)
	}
}

// allows reports whether the operation is permitted, and sudo if it needs it.
func (a acl) allows(op operation, path string, needsSudo bool) bool {
	if a.root {
		return true
	}
	granted := a.match(op, path)
	return slices.Contains(granted, op) && (!needsSudo || slices.Contains(granted, sudo))
}

// capabilities lists the capabilities of a path for sys/capabilities-self.
func (a acl) capabilities(path string) []operation {
	if a.root {
		return []operation{"root"}
	}
	granted := slices.Clone(a.match(list, path))
	slices.Sort(granted)
	granted = slices.Compact(granted)
	if len(granted) == 0 || slices.Contains(granted, deny) {
		return []operation{deny}
	}
	return granted
}

// match returns the capabilities of the most specific rule for the path.
func (a acl) match(op operation, path string) []operation {
	paths := []string{path}
	if folder, ok := strings.CutSuffix(path, "/"); ok && op == list {
		// A rule for the folder without its slash also permits listing it.
		paths = []string{folder, path}
	}
	for _, p := range slices.Backward(paths) {
		for _, r := range a.rules {
			if !r.glob && !r.wild() && r.path == p {
				return r.capabilities
			}
		}
	}
	for _, p := range paths {
		matching := slices.DeleteFunc(slices.Clone(a.rules), func(r rule) bool { return !r.matches(p) })
		if len(matching) > 0 {
			return slices.MaxFunc(matching, bySpecificity).capabilities
		}
	}
	return nil
}

// matches reports whether a rule with wildcards matches the path.
func (r rule) matches(path string) bool {
	if !r.wild() {
		return r.glob && strings.HasPrefix(path, r.path)
	}
	want, have := strings.Split(r.path, "/"), strings.Split(path, "/")
	if len(have) < len(want) || len(have) > len(want) && !r.glob {
		return false
	}
	for i, segment := range want {
		last := r.glob && i == len(want)-1
		if !fits(segment, have[i]) && !(last && strings.HasPrefix(have[i], segment)) {
			return false
		}
	}
	return true
}

// bySpecificity orders rules that match the same path, as Vault documents it
// (https://developer.hashicorp.com/vault/docs/concepts/policies): a later first
// wildcard counts most, then no glob, then fewer "+", then the longer path.
func bySpecificity(a, b rule) int {
	firstWildcard := func(r rule) int {
		if i := strings.Index(r.path, "+"); r.wild() && i >= 0 {
			return i
		}
		return len(r.path)
	}
	noGlob := func(r rule) int {
		if r.glob {
			return 0
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(firstWildcard(a), firstWildcard(b)),
		cmp.Compare(noGlob(a), noGlob(b)),
		cmp.Compare(strings.Count(b.path, "+"), strings.Count(a.path, "+")),
		cmp.Compare(len(a.path), len(b.path)),
		strings.Compare(a.path, b.path),
	)
}

// reaches reports whether any capability is granted at or below a mount.
func (a acl) reaches(mount string) bool {
	if a.root || !slices.Contains(a.capabilities(mount), deny) {
		return true
	}
	want := strings.Split(strings.TrimSuffix(mount, "/"), "/")
	for _, r := range a.rules {
		if len(r.capabilities) == 0 || slices.Contains(r.capabilities, deny) {
			continue
		}
		if strings.HasPrefix(r.path, mount) {
			return true
		}
		have := strings.Split(r.path, "/")
		if r.wild() && len(have) >= len(want) && slices.EqualFunc(have[:len(want)], want, fits) {
			return true
		}
	}
	return false
}

// fits reports whether a segment of a rule's path matches that of another path.
func fits(segment, other string) bool { return segment == "+" || segment == other }
