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

// options are the parameters of a URL. What is taken is dealt with.
type options struct {
	t    *translation
	fold bool // names are compared without regard to letter case
	list []option
}

type option struct{ name, value string }

// newOptions returns the options that stand in the file beside the URL. One
// that the URL has as well must say the same.
func newOptions(d Database, t *translation, fold bool) *options {
	o := &options{t: t, fold: fold}
	for p := range strings.Lines(d.Properties) {
		name, value, _ := strings.Cut(strings.TrimSuffix(p, "\n"), "=")
		o.add(name, value)
	}
	return o
}

// add appends a parameter as the URL has it. One that is there twice must say
// the same twice.
func (o *options) add(name, value string) {
	if name == "" {
		return
	}
	if secretName(name) && value != "" {
		o.t.quoted = true
	}
	for _, p := range o.list {
		if o.same(p.name, name) {
			if p.value != value {
				o.t.mistake(o.show(name) + " is there twice, with different values: remove one")
			}
			return
		}
	}
	if len(o.list) == maxOptions {
		o.t.mistake("there are more options than any driver has")
	}
	if len(o.list) <= maxOptions {
		o.list = append(o.list, option{name, value})
	}
}

func (o *options) same(a, b string) bool { return a == b || o.fold && strings.EqualFold(a, b) }

// take returns the value of the first of the names that is there, and removes
// all of them.
func (o *options) take(names ...string) (value string, ok bool) {
	for _, name := range names {
		i := slices.IndexFunc(o.list, func(p option) bool { return o.same(p.name, name) })
		if i < 0 {
			continue
		}
		if v := o.list[i].value; !ok {
			value, ok = v, true
		} else if v != value {
			o.t.mistake(name + " and another name of the same option have different values: remove one")
		}
		o.list = slices.Delete(o.list, i, i+1)
	}
	return value, ok
}

// lookup returns the value of an option and leaves it there.
func (o *options) lookup(name string) (value string, ok bool) {
	for _, p := range o.list {
		if o.same(p.name, name) {
			return p.value, true
		}
	}
	return "", false
}

// fulfilled removes options whose meaning the Go driver fulfils, if the value
// is one of those for which it does; any value for none.
func (o *options) fulfilled(values []string, names ...string) {
	for _, name := range names {
		i := slices.IndexFunc(o.list, func(p option) bool { return o.same(p.name, name) })
		if i >= 0 && (values == nil || slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, o.list[i].value) })) {
			o.list = slices.Delete(o.list, i, i+1)
		}
	}
}

// refuse removes the options and says that none of them has an equal.
func (o *options) refuse(why string, names ...string) {
	for _, name := range names {
		if _, ok := o.take(name); ok {
			o.t.refuse(name + ": " + why)
		}
	}
}

// rest reports what nobody has taken.
func (o *options) rest() {
	hidden := false
	for _, p := range o.list {
		if o.nameable(p.name) {
			o.t.ignore(p.name)
		} else {
			hidden = true
		}
	}
	if hidden {
		o.t.ignore("at least one whose name is not shown, since it may be a part of a password")
	}
	o.list = nil
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

// boolean takes an option that is true or false; a bare name is true.
func (o *options) boolean(names ...string) (value, ok bool) {
	v, ok := o.take(names...)
	if !ok {
		return false, false
	}
	switch strings.ToLower(v) {
	case "true", "yes", "1", "":
		return true, true
	case "false", "no", "0":
		return false, true
	}
	o.t.mistake(names[0] + " is neither true nor false")
	return false, true
}

// duration takes an option that counts units. Zero and less is no limit.
func (o *options) duration(unit time.Duration, names ...string) (d time.Duration, ok bool) {
	v, ok := o.take(names...)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || n != n || n > 1e9 {
		o.t.mistake(names[0] + " is not a number that makes sense")
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
