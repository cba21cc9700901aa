package edit

import (
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/atlassian/xmltext"
	"github.com/seed74218947/secretref/internal/fault"
)

// spliceXML returns the replacements for the steps in an XML file. If ownLine is
// set, added and removed elements have lines of their own.
func spliceXML(text []byte, p *plan, ownLine bool) ([]replacement, error) {
	doc, err := xmltext.Locate(text)
	if err != nil {
		return nil, err
	}
	elements, err := atlassian.Elements(p.file.Product, doc.Root)
	if err != nil {
		return nil, err
	}
	changed := make([]*xmltext.Element, len(p.steps))
	for i, s := range p.steps {
		changed[i] = elements[s.entry]
	}
	places := doc.Places(changed...)
	var all []replacement
	for i, s := range p.steps {
		at := places[i]
		value, ok := doc.Quote(s.value)
		if !ok {
			return nil, fault.New(fault.Unsupported,
				"the value has a character that cannot be written in this file")
		}
		switch s.op {
		case set:
			all = append(all, setText(doc, at, value)...)
		case insert:
			element := slices.Concat(doc.Markup(startTag(p, at, s.key)), value,
				doc.Markup("</"+elementName(p, at, s.key)+">"))
			if line, ok := doc.Indent(at.Start); ok && ownLine {
				element = append(element, text[line:at.Start]...)
			}
			all = append(all, replacement{at.Start, at.Start, element})
		case remove:
			start := at.Start
			if line, ok := doc.Indent(start); ok && ownLine && doc.EndsLine(at.End) {
				start = line
			}
			all = append(all, replacement{start, at.End, nil})
		}
	}
	return all, nil
}

// setText replaces an element's own text. Other markup inside the element stays.
func setText(doc *xmltext.Document, at xmltext.Place, value []byte) []replacement {
	switch {
	case at.Empty:
		return []replacement{{at.Open, at.Content,
			slices.Concat(doc.Markup(">"), value, doc.Markup("</"+at.Tag+">"))}}
	case at.Text == nil:
		return []replacement{{at.Content, at.Content, value}}
	}
	longest := 0
	all := make([]replacement, len(at.Text))
	for i, span := range at.Text {
		all[i] = replacement{start: span.Start, end: span.End}
		if span.End-span.Start > at.Text[longest].End-at.Text[longest].Start {
			longest = i
		}
	}
	all[longest].text = value
	return all
}

// elementName returns the name to write for a new element for key next to another
// one.
func elementName(p *plan, beside xmltext.Place, key string) string {
	if atlassian.FormatOf(p.file.Product) != atlassian.DBConfig {
		return beside.Tag
	}
	prefix, _, ok := strings.Cut(beside.Tag, ":")
	if !ok {
		return key[strings.LastIndexByte(key, '/')+1:]
	}
	return prefix + ":" + key[strings.LastIndexByte(key, '/')+1:]
}

// startTag returns the start tag of that element.
func startTag(p *plan, beside xmltext.Place, key string) string {
	if atlassian.FormatOf(p.file.Product) == atlassian.DBConfig {
		return "<" + elementName(p, beside, key) + ">"
	}
	return "<" + beside.Tag + ` name="` + key + `">`
}
