package jdbc

import "strings"

// A class is how a JDBC driver class reads options, in the URL and in the
// properties beside it.
type class struct {
	name      string // what messages call it
	fold      bool   // the letter case of names does not matter
	emptyWins bool   // an empty user or password of the URL replaces the file's
	rules     []rule
}

// A rule is what is known of one option of a class.
type rule struct {
	names   []string // its name and its aliases
	fold    bool     // the letter case of this name does not matter
	matters bool     // it says where, as whom, with which password or how securely to connect
	weak    []string // values that ask for no more than the class does by default: ignoring them is as secure
	same    []string // values for which the Go driver does the same by itself
	refuse  string   // why no data source has an equal for any other value
}

// anything stands for every value in a list of values.
const anything = "*"

// find returns the rule for a name as the class compares names.
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

// near returns the rule that matters whose name differs from this one only in
// letter case, blanks around it, or percent-encoding. The class ignores such an
// option, although it is meant to have an effect.
func (c *class) near(name string) *rule {
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

// among reports whether a value is in a list, in any letter case.
func among(value string, list []string) bool {
	for _, v := range list {
		if v == anything || strings.EqualFold(v, value) {
			return true
		}
	}
	return false
}

// trim is String.trim of Java, which knows only blanks of ASCII.
func trim(s string) string { return strings.TrimFunc(s, blank) }

func blank(c rune) bool { return c <= ' ' }
