package jdbc

import "strings"

// A class describes how a JDBC driver class reads options, in the URL and in the
// properties besides it.
type class struct {
	name      string // in messages
	fold      bool   // names are compared without regard to letter case
	emptyWins bool   // an empty user or password in the URL replaces that of the file
	rules     []rule
}

// A rule describes one option of a class.
type rule struct {
	names   []string // its name and its aliases
	fold    bool     // like class.fold, for this option
	matters bool     // it affects where, as whom, with which password or how securely to connect
	weak    []string // values that are not more secure than the default of the class
	same    []string // values that are the behavior of the Go driver
	refuse  string   // why other values have no equivalent in a data source
}

// anyValue matches every value in a list.
const anyValue = "*"

// find returns the rule for a name, compared as the class does.
func (c *class) find(name string) *rule {
	for i := range c.rules {
		r := &c.rules[i]
		for _, n := range r.names {
			if n == name || (c.fold || r.fold) && strings.EqualFold(n, name) {
				return r
			}
		}
	}
	return nil
}

// misspeltRule returns the rule that matters whose name differs from this one only
// in letter case, blanks around it, or percent-encoding. The class ignores such an
// option, although it is intended to have an effect.
func (c *class) misspeltRule(name string) *rule {
	name = trim(name)
	if plain, err := unescape(name); err == nil {
		name = trim(plain)
	}
	for i := range c.rules {
		r := &c.rules[i]
		for _, n := range r.names {
			if r.matters && strings.EqualFold(n, name) {
				return r
			}
		}
	}
	return nil
}

// matchesAny reports whether a value is in a list, in any letter case.
func matchesAny(value string, list []string) bool {
	for _, v := range list {
		if v == anyValue || strings.EqualFold(v, value) {
			return true
		}
	}
	return false
}

// trim is String.trim of Java, which removes ASCII blanks and controls.
func trim(s string) string { return strings.TrimFunc(s, isBlank) }

func isBlank(c rune) bool { return c <= ' ' }
