// Package edit changes one secret of a product's configuration file, and the
// class that says how it is read, and no other byte. [Apply] is all there is.
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

// A Change is what a file shall say.
type Change struct {
	// Key is whose value it is. Empty: the password of the database. Only
	// bitbucket.properties has others.
	Key string

	// Value is what the class is given, without a prefix, or the plaintext.
	Value string

	// Class reads the value. Empty: the value is plaintext.
	Class string
}

// A Result is a file after a Change.
type Result struct {
	Text []byte
	File *atlassian.File // Text, as the product reads it; without a path

	// Lines are what was changed, in the order of the file. Without any the
	// Change says what the file says already, and Text is the same.
	Lines []Line

	// Unused are the lines where the key stands with values that the product
	// does not use. They are left as they are.
	Unused []int
}

// A Line is one entry that was changed: set if it has both values, else added or
// removed.
type Line struct {
	Line     int // where it stands, or what it was added before, in the old text
	Key      string
	Old, New *string
}

// Apply returns the text of a file, whose base name is name, after a change.
// Every byte that does not belong to the changed values and class stays as it
// is. What it returns was read again: the product finds the wanted values and
// everything else as before.
//
// The error is of kind [fault.Syntax] if the file has a mistake,
// [fault.NotFound] if it has no such key, and [fault.Unsupported] for a change
// that cannot be made, with the reason. It quotes no value.
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
		return &Result{Text: text, File: file, Unused: p.unused()}, nil
	}
	splice := spliceXML
	if file.Product == atlassian.Bitbucket {
		splice = spliceProperties
	}
	// An element of its own line is nicer, but where the text around elements
	// has a meaning that line would change it.
	for _, tidy := range []bool{true, false} {
		var splices []replacement
		if splices, err = splice(text, p, tidy); err != nil {
			return nil, err
		}
		edited := replace(text, splices)
		var again *atlassian.File
		if again, err = p.verify(name, edited); err == nil {
			return &Result{edited, again, p.lines(), p.unused()}, nil
		}
	}
	return nil, err
}

// replacement puts text in the place of the bytes from start to end.
type replacement struct {
	start, end int
	text       []byte
}

// replace carries out replacements that do not overlap.
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

// plan is what a change means for the entries of a file.
type plan struct {
	file   *atlassian.File
	layout atlassian.Layout
	change Change // with its Key
	value  string // as the file has it
	steps  []step
}

// step is what happens to one entry.
type step struct {
	entry int // of the file
	do    action
	key   string // that is inserted
	value string // that is set or inserted
}

type action int

const (
	set    action = iota
	insert        // before the entry
	remove
)

func newPlan(file *atlassian.File, c Change) (*plan, error) {
	layout := atlassian.LayoutOf(file.Product)
	if c.Key == "" {
		c.Key = layout.Password
	}
	p := &plan{file: file, layout: layout, change: c, value: c.Value}
	items, err := atlassian.Items(file.Product, file.Entries)
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
		others, err := p.others(items)
		if err != nil {
			return nil, err
		}
		if c.Class != "" {
			p.value = "{ENC}" + c.Value
		}
		if c.Key == layout.Password {
			p.remove(layout.Class) // it would be for a password without a prefix
		}
		if c.Class == "" && others {
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

func (p *plan) checkKey() error {
	switch key := p.change.Key; {
	case p.layout.AnyClass == "" && key != p.layout.Password:
		return fault.New(fault.Unsupported, "in this file the class is for %s alone", p.layout.Password)
	case key == p.layout.Class || key == p.layout.AnyClass:
		return fault.New(fault.Unsupported, "%s names a class and is no secret", key)
	case len(p.indexes(key)) == 0 && key == p.layout.Password:
		return fault.New(fault.NotFound, "the file has no %s", key)
	case len(p.indexes(key)) == 0:
		return fault.New(fault.NotFound, "the file has no such key")
	}
	return nil
}

// checkPlaintext refuses a password that would be taken for something else.
func (p *plan) checkPlaintext() error {
	var g ref.Grammar
	_, err := g.Parse(p.change.Value)
	switch {
	case p.change.Value == "":
		return fault.New(fault.Unsupported, "the plaintext is empty")
	case ref.IsPlaceholder(p.change.Value):
		return fault.New(fault.Unsupported, "the plaintext is the placeholder %s", ref.Placeholder)
	case !errors.Is(err, fault.NotReference):
		return fault.New(fault.Unsupported, "the plaintext reads as a reference, and would not be taken for a password")
	}
	return nil
}

// others reports whether other values of the file have a prefix. It refuses a
// class that does not read them.
func (p *plan) others(items []atlassian.Item) (found bool, err error) {
	class := atlassian.Text(p.file.Product, p.file.Entries, p.layout.AnyClass)
	kind := atlassian.CipherClassOf(p.change.Class).Kind()
	for _, item := range items {
		if _, marked := ref.CutPrefix(strings.TrimSpace(item.Value)); !marked || item.Key == p.change.Key {
			continue
		}
		found = true
		var g ref.Grammar
		ref, err := g.Parse(item.Value)
		if p.change.Class != "" && p.change.Class != class && (err != nil || kind == 0 || ref.Kind != kind) {
			return false, fault.New(fault.Unsupported, "line %d: %s has the prefix {ENC} too, and %s is for all values that have it: "+
				"they must be of one store, so change that value first, to plaintext with -plaintext-from", item.Line, item.Key, p.layout.AnyClass)
		}
	}
	return found, nil
}

// indexes lists the entries of a key.
func (p *plan) indexes(key string) []int {
	var all []int
	for i, e := range p.file.Entries {
		if e.Key == key {
			all = append(all, i)
		}
	}
	return all
}

// used lists the entries of a key that count. XML files have another one only
// with the same value, and which of them is read is not documented: all count.
func (p *plan) used(key string) []int {
	all := p.indexes(key)
	if p.file.Product == atlassian.Bitbucket && len(all) > 0 {
		return all[len(all)-1:]
	}
	return all
}

// unused lists the lines of the key that do not count.
func (p *plan) unused() []int {
	all := p.indexes(p.change.Key)
	var lines []int
	for _, i := range all[:len(all)-len(p.used(p.change.Key))] { // those that count are the last
		lines = append(lines, p.file.Entries[i].Line)
	}
	return lines
}

// set gives a key its value. A key that is not there gets a place before the
// changed value.
func (p *plan) set(key, value string) {
	there := p.used(key)
	for _, i := range there {
		if p.file.Entries[i].Value != value {
			p.steps = append(p.steps, step{i, set, key, value})
		}
	}
	if there == nil {
		p.steps = append(p.steps, step{p.used(p.change.Key)[0], insert, key, value})
	}
}

// remove takes a key out, also where it does not count: it would count then.
func (p *plan) remove(key string) {
	for _, i := range p.indexes(key) {
		p.steps = append(p.steps, step{entry: i, do: remove})
	}
}

// lines tells of the steps in the order of the file.
func (p *plan) lines() []Line {
	steps := slices.Clone(p.steps)
	slices.SortStableFunc(steps, func(a, b step) int { return a.entry - b.entry })
	var lines []Line
	for _, s := range steps {
		e := p.file.Entries[s.entry]
		line := Line{e.Line, e.Key, &e.Value, &s.value}
		switch s.do {
		case insert:
			line.Key, line.Old = s.key, nil
		case remove:
			line.New = nil
		}
		lines = append(lines, line)
	}
	return lines
}

// verify reads an edited text and compares it with what it should say.
func (p *plan) verify(name string, text []byte) (*atlassian.File, error) {
	failed := fault.New(fault.Unsupported, "the change cannot be written so that everything else in the file is read as before")
	file, err := atlassian.Decode(name, text)
	if err != nil {
		return nil, failed
	}
	want := p.wanted()
	if len(file.Entries) != len(want) {
		return nil, failed
	}
	for i, e := range file.Entries {
		if e.Key != want[i].Key || e.Value != want[i].Value {
			return nil, failed
		}
	}
	// The lines above say that the entries are right, these that they mean it.
	items, err := atlassian.Items(file.Product, file.Entries)
	if err != nil {
		return nil, failed
	}
	i := slices.IndexFunc(items, func(i atlassian.Item) bool { return i.Key == p.change.Key })
	switch {
	case i < 0 && p.change.Class == "": // not the password: nothing to resolve
	case i < 0, items[i].Class != p.change.Class, items[i].Text != p.change.Value:
		return nil, failed
	}
	return file, nil
}

// wanted returns the entries that the edited file should have.
func (p *plan) wanted() []atlassian.Entry {
	var want []atlassian.Entry
	steps := make(map[int][]step, len(p.steps))
	for _, s := range p.steps {
		steps[s.entry] = append(steps[s.entry], s)
	}
	for i, e := range p.file.Entries {
		keep := true
		for _, s := range steps[i] {
			switch {
			case s.do == set:
				e.Value = s.value
			case s.do == remove:
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

// indent returns the blanks that text begins with.
func indent(text []byte) []byte { return text[:len(text)-len(bytes.TrimLeft(text, " \t"))] }
