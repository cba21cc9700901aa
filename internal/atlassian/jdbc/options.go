package jdbc

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxOptions is more than twice what Connector/J, the richest driver, knows.
const maxOptions = 500

// options are the options of a URL and the properties beside it. An option that
// was taken needs no further treatment.
type options struct {
	t     *translation
	class *class
	list  []option
}

// An option has the name that its class gives it, whatever alias was written.
type option struct {
	name, value string
	rule        *rule // nil if the class does not know the option
	beside      bool  // it stands beside the URL
}

// newOptions returns the options that stand in the file beside the URL. One
// that the URL has as well must say the same: drivers differ in which of both
// wins.
func newOptions(d Database, t *translation, c *class) *options {
	o := &options{t: t, class: c}
	for p := range strings.Lines(d.Properties) {
		name, value, _ := strings.Cut(strings.TrimSuffix(p, "\n"), "=")
		o.add(name, value)
	}
	for i := range o.list {
		o.list[i].beside = true
	}
	return o
}

// add appends an option whose name is written as the class compares names. One
// that is there twice, under whatever names, must say the same twice.
func (o *options) add(name, value string) {
	if name == "" {
		return
	}
	if secretName(name) && value != "" {
		o.t.quoted = true
	}
	if strings.ContainsFunc(name, func(c rune) bool { return c > '~' }) {
		// Some drivers take ſ for S and ı for I.
		o.t.mistake("the name of an option holds characters that no such name has")
		return
	}
	p := option{name: name, value: value, rule: o.class.find(name)}
	if p.rule != nil {
		p.name = p.rule.names[0]
	}
	if i := o.index(p.name); i >= 0 {
		if o.list[i].value != value {
			o.t.mistake(o.show(name) + " is there twice, with different values: remove one")
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

// takeFromURL is take for an option that does not stand beside the URL.
func (o *options) takeFromURL(name string) (value string, ok bool) {
	if !o.inURL(name) {
		return "", false
	}
	return o.take(name)
}

func (o *options) inURL(name string) bool {
	i := o.index(name)
	return i >= 0 && !o.list[i].beside
}

// lookup returns the value of an option and leaves it there.
func (o *options) lookup(name string) (value string, ok bool) {
	if i := o.index(name); i >= 0 {
		return o.list[i].value, true
	}
	return "", false
}

// drop removes options that are without effect here.
func (o *options) drop(names ...string) {
	for _, name := range names {
		o.take(name)
	}
}

// rest applies the rules to the options that are left, and ignores those
// without a rule.
func (o *options) rest() {
	hidden := false
	for _, p := range o.list {
		switch r := p.rule; {
		case r != nil && among(p.value, r.same):
		case r != nil && r.refuse != "":
			o.t.refuse(p.name + ": " + r.refuse)
		case r == nil && o.misspelt(p):
		case o.nameable(p.name):
			o.t.ignore(p.name)
		default:
			hidden = true
		}
	}
	if hidden {
		o.t.ignore("at least one whose name is not shown, since it may be a part of a password")
	}
	o.list = nil
}

// misspelt deals with an option that the class ignores only for its spelling.
func (o *options) misspelt(p option) bool {
	r := o.class.near(p.name)
	switch {
	case r == nil:
		return false
	case among(p.value, r.weak):
		o.t.ignore(r.names[0] + " (" + o.class.name + " does not know it in this spelling)")
	default:
		o.t.mistake(r.names[0] + " is misspelt, and at least some versions of " + o.class.name + " ignore it: " +
			"check the letter case, and blanks and escapes in the name")
	}
	return true
}

// nameable reports whether what stands in the place of a name may be shown:
// what follows a password that was not escaped ends up there.
func (o *options) nameable(name string) bool {
	if o.t.quoted || len(name) > 64 {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == ""
}

func (o *options) show(name string) string {
	if o.nameable(name) || secretName(name) && len(name) < 32 {
		return name
	}
	return "an option"
}

// boolean takes an option that is true or false in the words of its class.
func (o *options) boolean(name string, yes, no []string) (value, ok bool) {
	v, ok := o.take(name)
	switch {
	case !ok:
		return false, false
	case among(v, yes):
		return true, true
	case among(v, no):
		return false, true
	}
	o.t.mistake(name + " is neither true nor false for " + o.class.name)
	return false, true
}

// duration takes an option that counts units. Zero and less is no limit.
func (o *options) duration(unit time.Duration, name string) (d time.Duration, ok bool) {
	v, ok := o.take(name)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || n != n || n > 1e9 {
		o.t.mistake(name + " is not a number that makes sense")
		return 0, true
	}
	return time.Duration(max(n, 0) * float64(unit)), true
}

// query adds the parameters of name=value&name=value. decode is what the driver
// does with a value.
func (o *options) query(s string, decode func(string) (string, error)) {
	for p := range strings.SplitSeq(s, "&") {
		name, value, _ := strings.Cut(p, "=")
		if plain, err := decode(value); err != nil {
			o.t.quoted = o.t.quoted || secretName(name)
			o.t.mistake(o.show(name) + " is not percent-encoded well: write %25 for %")
		} else {
			o.add(name, plain)
		}
	}
}

// unescape decodes as java.net.URLDecoder does: + is a space. Unlike
// [url.QueryUnescape] alone it leaves no invalid UTF-8 behind.
func unescape(s string) (string, error) {
	plain, err := url.QueryUnescape(s)
	if err != nil {
		return "", errEscape
	}
	return plain, sound(plain)
}
