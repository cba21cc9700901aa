package jdbc

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxOptions limits the options; Connector/J, which has the most, has less than half.
const maxOptions = 500

// options are the options of a URL and the properties besides it that are not
// translated yet.
type options struct {
	t     *translation
	class *class
	list  []option
}

// An option has the name that its class uses, not the alias in the URL.
type option struct {
	name, value string
	rule        *rule // nil if the class does not have the option
	isProperty  bool  // it is not in the URL
}

// newOptions returns the properties of the file. If the URL has one of them, too, the
// values must be equal, since drivers differ in which one they use.
func newOptions(d Database, t *translation, c *class) *options {
	o := &options{t: t, class: c}
	for p := range strings.Lines(d.Properties) {
		name, value, _ := strings.Cut(strings.TrimSuffix(p, "\n"), "=")
		o.add(name, value)
	}
	for i := range o.list {
		o.list[i].isProperty = true
	}
	return o
}

// add appends an option, under its name or an alias. If the option appears twice, the
// values must be equal.
func (o *options) add(name, value string) {
	if name == "" {
		return
	}
	if secretName(name) && value != "" {
		o.t.hasPassword = true
	}
	if strings.ContainsFunc(name, func(c rune) bool { return c > '~' }) {
		// Some drivers read ſ as S and ı as I.
		o.t.mistake("the name of an option contains characters that are not allowed in it")
		return
	}
	p := option{name: name, value: value, rule: o.class.find(name)}
	if p.rule != nil {
		p.name = p.rule.names[0]
	}
	if i := o.index(p.name); i >= 0 {
		if o.list[i].value != value {
			o.t.mistake(o.show(name) + " appears twice with different values: remove one")
		}
		return
	}
	if len(o.list) == maxOptions {
		o.t.mistake("there are more options than any driver has")
	}
	if len(o.list) <= maxOptions {
		o.list = append(o.list, p)
	}
}

func (o *options) index(name string) int {
	return slices.IndexFunc(o.list, func(p option) bool { return p.name == name })
}

// take returns the value of an option and removes it.
func (o *options) take(name string) (value string, ok bool) {
	i := o.index(name)
	if i < 0 {
		return "", false
	}
	value = o.list[i].value
	o.list = slices.Delete(o.list, i, i+1)
	return value, true
}

// takeFromURL is take for an option of the URL.
func (o *options) takeFromURL(name string) (value string, ok bool) {
	if !o.inURL(name) {
		return "", false
	}
	return o.take(name)
}

func (o *options) inURL(name string) bool {
	i := o.index(name)
	return i >= 0 && !o.list[i].isProperty
}

// lookup returns the value of an option and keeps it.
func (o *options) lookup(name string) (value string, ok bool) {
	if i := o.index(name); i >= 0 {
		return o.list[i].value, true
	}
	return "", false
}

// drop removes options without effect.
func (o *options) drop(names ...string) {
	for _, name := range names {
		o.take(name)
	}
}

// finish applies the rules to the remaining options, and ignores those without a
// rule.
func (o *options) finish() {
	hidden := false
	for _, p := range o.list {
		switch r := p.rule; {
		case r != nil && matchesAny(p.value, r.same):
		case r != nil && r.refuse != "":
			o.t.refuse(p.name + ": " + r.refuse)
		case r == nil && o.checkSpelling(p):
		case o.safeToPrint(p.name):
			o.t.ignore(p.name)
		default:
			hidden = true
		}
	}
	if hidden {
		o.t.ignore("at least one option whose name is hidden because it may be part of a password")
	}
	o.list = nil
}

// checkSpelling handles an option that the class ignores only because of its
// spelling.
func (o *options) checkSpelling(p option) bool {
	r := o.class.misspeltRule(p.name)
	switch {
	case r == nil:
		return false
	case matchesAny(p.value, r.weak):
		o.t.ignore(r.names[0] + " (" + o.class.name + " does not accept this spelling)")
	default:
		o.t.mistake(r.names[0] + " is misspelled, and at least some versions of " + o.class.name +
			" ignore it: " +
			"check the letter case, and blanks and escapes in the name")
	}
	return true
}

// safeToPrint reports whether a name may be shown. It may be the rest of a password
// that was not escaped.
func (o *options) safeToPrint(name string) bool {
	if o.t.hasPassword || len(name) > 64 {
		return false
	}
	return strings.Trim(name,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == ""
}

func (o *options) show(name string) string {
	if o.safeToPrint(name) || secretName(name) && len(name) < 32 {
		return name
	}
	return "an option"
}

// boolean takes an option whose values for true and false are given.
func (o *options) boolean(name string, yes, no []string) (value, ok bool) {
	v, ok := o.take(name)
	switch {
	case !ok:
		return false, false
	case matchesAny(v, yes):
		return true, true
	case matchesAny(v, no):
		return false, true
	}
	o.t.mistake(name + " is neither true nor false for " + o.class.name)
	return false, true
}

// duration takes an option in units. Zero and less mean no limit.
func (o *options) duration(unit time.Duration, name string) (d time.Duration, ok bool) {
	v, ok := o.take(name)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || n != n || n > 1e9 {
		o.t.mistake(name + " is not a valid number")
		return 0, true
	}
	return time.Duration(max(n, 0) * float64(unit)), true
}

// query adds the parameters of name=value&name=value. decode decodes a value as the
// driver does.
func (o *options) query(s string, decode func(string) (string, error)) {
	for p := range strings.SplitSeq(s, "&") {
		name, value, _ := strings.Cut(p, "=")
		if plain, err := decode(value); err != nil {
			o.t.hasPassword = o.t.hasPassword || secretName(name)
			o.t.mistake(o.show(name) + " is not percent-encoded correctly: write %25 for %")
		} else {
			o.add(name, plain)
		}
	}
}

// unescape decodes as java.net.URLDecoder does: + is a space. Unlike
// [url.QueryUnescape] it refuses invalid UTF-8.
func unescape(s string) (string, error) {
	plain, err := url.QueryUnescape(s)
	if err != nil {
		return "", errEscape
	}
	return plain, checkDecoded(plain)
}
