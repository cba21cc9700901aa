// Package edit changes one secret of a product's configuration file and its cipher
// class, and no other byte. See [Apply].
package edit

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// A Change is a new value and cipher class for one key.
type Change struct {
	// Key is the key of the value. If empty, it is that of the database password.
	// Only bitbucket.properties has others.
	Key string

	// Value is the value as the class receives it, without a prefix, or the
	// plaintext.
	Value string

	// Class is the name of the cipher class. If empty, the value is plaintext.
	Class string
}

// A Result is a file after a Change.
type Result struct {
	Text []byte
	File *atlassian.File // Text as the product reads it; without a path

	// Lines are the changed entries, in file order. There are none, and Text is
	// the old text, if the file already has the value and class.
	Lines []Line

	// Shadowed are the lines of entries with the same key that the product does
	// not read. They stay as they are.
	Shadowed []int
}

// A Line is one changed entry: set if it has both values, otherwise added or
// removed.
type Line struct {
	Line     int // in the old text; of an added entry, the line it was added before
	Key      string
	Old, New *string
}

// Apply returns a file with the base name name after a change. Every byte outside
// the changed values and class stays as it is. Apply decodes the new text and
// checks that the product reads the new value and everything else as before.
//
// The error is of kind [fault.Syntax] if the file has a mistake, [fault.NotFound]
// if it has no such key, and [fault.Unsupported], with the reason, if the change
// cannot be made. It quotes no value.
func Apply(name string, text []byte, c Change) (*Result, error) {
	file, err := atlassian.Decode(name, text)
	if err != nil {
		return nil, err
	}
	p, err := newPlan(file, c)
	if err != nil {
		return nil, err
	}
	if len(p.steps) == 0 {
		return &Result{Text: text, File: file, Shadowed: p.shadowed()}, nil
	}
	splice := spliceXML
	if !p.isXML() {
		splice = spliceProperties
	}
	// An added element gets a line of its own, unless that changes a text around
	// the elements that has a meaning.
	for _, ownLine := range []bool{true, false} {
		var splices []replacement
		if splices, err = splice(text, p, ownLine); err != nil {
			return nil, err
		}
		edited := replace(text, splices)
		var again *atlassian.File
		if again, err = p.verify(name, edited); err == nil {
			return &Result{edited, again, p.lines(), p.shadowed()}, nil
		}
	}
	return nil, err
}

// replacement replaces the bytes from start to end by text.
type replacement struct {
	start, end int
	text       []byte
}

// replace applies replacements that do not overlap.
func replace(text []byte, all []replacement) []byte {
	slices.SortStableFunc(all, func(a, b replacement) int { return a.start - b.start })
	var out []byte
	done := 0
	for _, r := range all {
		out = append(append(out, text[done:r.start]...), r.text...)
		done = r.end
	}
	return append(out, text[done:]...)
}

// plan is the steps of a change.
type plan struct {
	file   *atlassian.File
	layout atlassian.Layout
	change Change // with its Key
	value  string // with the prefix, if it needs one
	steps  []step
}

// step is the operation on one entry.
type step struct {
	entry int // index in the file
	op    operation
	key   string // of an inserted entry
	value string // of a set or inserted entry
}

type operation int

const (
	set    operation = iota
	insert           // before the entry
	remove
)

func newPlan(file *atlassian.File, c Change) (*plan, error) {
	layout := atlassian.LayoutOf(file.Product)
	if c.Key == "" {
		c.Key = layout.Password
	}
	p := &plan{file: file, layout: layout, change: c, value: c.Value}
	items, err := atlassian.Items(file.Product, file.All())
	if err != nil {
		return nil, err
	}
	if err := p.checkKey(); err != nil {
		return nil, err
	}
	if c.Class == "" {
		if err := p.checkPlaintext(); err != nil {
			return nil, err
		}
	}
	classKey := layout.Class
	if layout.AnyClass != "" {
		classKey = layout.AnyClass
		hasOthers, err := p.checkOthers(items)
		if err != nil {
			return nil, err
		}
		if c.Class != "" {
			p.value = "{ENC}" + c.Value
		}
		if c.Key == layout.Password {
			p.remove(layout.Class) // it is for passwords without a prefix
		}
		if c.Class == "" && hasOthers {
			classKey = ""
		}
	}
	switch {
	case classKey == "":
	case c.Class == "":
		p.remove(classKey)
	default:
		p.set(classKey, c.Class)
	}
	p.set(c.Key, p.value)
	return p, nil
}

func (p *plan) isXML() bool { return atlassian.FormatOf(p.file.Product) != atlassian.DotProperties }

func (p *plan) checkKey() error {
	switch key := p.change.Key; {
	case p.layout.AnyClass == "" && key != p.layout.Password:
		return fault.New(fault.Unsupported,
			"in this file the class only applies to %s", p.layout.Password)
	case key == p.layout.Class || key == p.layout.AnyClass:
		return fault.New(fault.Unsupported, "%s is the name of a class, not a secret", key)
	case len(p.indexes(key)) == 0 && key == p.layout.Password:
		return fault.New(fault.NotFound, "the file has no %s", key)
	case len(p.indexes(key)) == 0:
		return fault.New(fault.NotFound, "the file has no such key")
	}
	return nil
}

// checkPlaintext refuses a password that would not be read as one.
func (p *plan) checkPlaintext() error {
	var g ref.Grammar
	_, err := g.Parse(p.change.Value)
	switch {
	case p.change.Value == "":
		return fault.New(fault.Unsupported, "the plaintext is empty")
	case ref.IsPlaceholder(p.change.Value):
		return fault.New(fault.Unsupported, "the plaintext is the placeholder %s", ref.Placeholder)
	case !errors.Is(err, fault.NotReference):
		return fault.New(fault.Unsupported,
			"the plaintext looks like a reference and would not be read as a password")
	}
	return nil
}

// checkOthers reports whether other values of the file have a prefix, and refuses a
// class that does not read them.
func (p *plan) checkOthers(items []atlassian.Item) (found bool, err error) {
	class := atlassian.Text(p.file.Product, p.file.All(), p.layout.AnyClass)
	kind := atlassian.CipherClassOf(p.change.Class).Kind()
	for _, item := range items {
		if _, prefixed := ref.CutPrefix(strings.TrimSpace(item.Value)); !prefixed ||
			item.Key == p.change.Key {
			continue
		}
		found = true
		var g ref.Grammar
		r, err := g.Parse(item.Value)
		if p.change.Class != "" && p.change.Class != class &&
			(err != nil || kind == 0 || r.Kind != kind) {
			return false, fault.New(fault.Unsupported,
				"line %d: %s has the prefix {ENC} too, and %s applies to all values with it, "+
					"which must be of one store: first change that value to plaintext with -plaintext-from",
				item.Line, item.Key, p.layout.AnyClass)
		}
	}
	return found, nil
}

// indexes returns the indexes of the entries of a key.
func (p *plan) indexes(key string) []int {
	var all []int
	for i, e := range p.file.Entries {
		if e.Key == key {
			all = append(all, i)
		}
	}
	return all
}

// used returns the indexes of the entries of a key that the product reads. In XML
// files it is not documented which of several equal entries is read, so it returns
// all.
func (p *plan) used(key string) []int {
	all := p.indexes(key)
	if !p.isXML() && len(all) > 0 {
		return all[len(all)-1:]
	}
	return all
}

// shadowed returns the lines of the key that the product does not read.
func (p *plan) shadowed() []int {
	all := p.indexes(p.change.Key)
	var lines []int
	for _, i := range all[:len(all)-len(p.used(p.change.Key))] { // the used ones are the last
		lines = append(lines, p.file.Entries[i].Line)
	}
	return lines
}

// set adds the steps that set a key to a value. A missing key is inserted before
// the changed value.
func (p *plan) set(key, value string) {
	used := p.used(key)
	for _, i := range used {
		if p.file.Entries[i].Value != value {
			p.steps = append(p.steps, step{i, set, key, value})
		}
	}
	if used == nil {
		p.steps = append(p.steps, step{p.used(p.change.Key)[0], insert, key, value})
	}
}

// remove adds the steps that remove all entries of a key. The product would read a
// remaining one.
func (p *plan) remove(key string) {
	for _, i := range p.indexes(key) {
		p.steps = append(p.steps, step{entry: i, op: remove})
	}
}

// lines returns the changed entries in file order.
func (p *plan) lines() []Line {
	steps := slices.Clone(p.steps)
	slices.SortStableFunc(steps, func(a, b step) int { return a.entry - b.entry })
	var lines []Line
	for _, s := range steps {
		e := p.file.Entries[s.entry]
		line := Line{e.Line, e.Key, &e.Value, &s.value}
		switch s.op {
		case insert:
			line.Key, line.Old = s.key, nil
		case remove:
			line.New = nil
		}
		lines = append(lines, line)
	}
	return lines
}

// verify decodes an edited text and compares it with the expected entries.
func (p *plan) verify(name string, text []byte) (*atlassian.File, error) {
	failed := fault.New(fault.Unsupported,
		"the change cannot be made without changing how other parts of the file are read")
	file, err := atlassian.Decode(name, text)
	if err != nil {
		return nil, failed
	}
	want := p.expected()
	if len(file.Entries) != len(want) {
		return nil, failed
	}
	for i, e := range file.Entries {
		if e.Key != want[i].Key || e.Value != want[i].Value {
			return nil, failed
		}
	}
	// The entries are right; the item must be, too.
	items, err := atlassian.Items(file.Product, file.All())
	if err != nil {
		return nil, failed
	}
	i := slices.IndexFunc(items, func(i atlassian.Item) bool { return i.Key == p.change.Key })
	switch {
	case i < 0 && p.change.Class == "": // plaintext other than the password
	case i < 0, items[i].Class != p.change.Class, items[i].Text != p.change.Value:
		return nil, failed
	}
	return file, nil
}

// expected returns the entries that the edited file must have.
func (p *plan) expected() []atlassian.Entry {
	var want []atlassian.Entry
	steps := make(map[int][]step, len(p.steps))
	for _, s := range p.steps {
		steps[s.entry] = append(steps[s.entry], s)
	}
	for i, e := range p.file.Entries {
		keep := true
		for _, s := range steps[i] {
			switch {
			case s.op == set:
				e.Value = s.value
			case s.op == remove:
				keep = false
			default:
				want = append(want, atlassian.Entry{Key: s.key, Value: s.value})
			}
		}
		if keep {
			want = append(want, e)
		}
	}
	return want
}

// indent returns the blanks at the start of text.
func indent(text []byte) []byte { return text[:len(text)-len(bytes.TrimLeft(text, " \t"))] }
