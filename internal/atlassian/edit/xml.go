package edit

import (
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/atlassian/xmltext"
	"github.com/seed74218947/secretref/internal/fault"
)

// spliceXML finds the bytes of the steps in an XML file. If tidy, elements that
// are added or removed have lines of their own.
func spliceXML(text []byte, p *plan, tidy bool) ([]replacement, error) {
	doc, err := xmltext.Locate(text)
	if err != nil {
		return nil, err
	}
	elements, err := elements(p.file, doc.Root)
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
			return nil, fault.New(fault.Unsupported, "the value has a character that cannot be written in this file")
		}
		switch s.do {
		case set:
			all = append(all, setText(doc, at, value)...)
		case insert:
			element := slices.Concat(doc.Markup(opening(p, at, s.key)), value, doc.Markup("</"+sibling(p, at, s.key)+">"))
			if line, ok := doc.Indent(at.Start); ok && tidy {
				element = append(element, text[line:at.Start]...)
			}
			all = append(all, replacement{at.Start, at.Start, element})
		case remove:
			start := at.Start
			if line, ok := doc.Indent(start); ok && tidy && doc.EndsLine(at.End) {
				start = line
			}
			all = append(all, replacement{start, at.End, nil})
		}
	}
	return all, nil
}

// setText puts a text in the place of an element's own. The other markup within
// the element stays.
func setText(doc *xmltext.Document, at xmltext.Place, value []byte) []replacement {
	switch {
	case at.Empty:
		return []replacement{{at.Open, at.Content, slices.Concat(doc.Markup(">"), value, doc.Markup("</"+at.Tag+">"))}}
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

// sibling is the name, as it is written, of an element for key beside another
// one.
func sibling(p *plan, beside xmltext.Place, key string) string {
	if p.file.Product != atlassian.Jira {
		return beside.Tag
	}
	prefix, _, ok := strings.Cut(beside.Tag, ":")
	if !ok {
		return key[strings.LastIndexByte(key, '/')+1:]
	}
	return prefix + ":" + key[strings.LastIndexByte(key, '/')+1:]
}

// opening is that element's start tag.
func opening(p *plan, beside xmltext.Place, key string) string {
	if p.file.Product == atlassian.Jira {
		return "<" + sibling(p, beside, key) + ">"
	}
	return "<" + beside.Tag + ` name="` + key + `">`
}

// elements lists the element of each entry of a file.
func elements(file *atlassian.File, root *xmltext.Element) ([]*xmltext.Element, error) {
	var all []*xmltext.Element
	if file.Product == atlassian.Jira {
		all = below(nil, root)
	} else {
		for _, e := range root.Children {
			if e.Name != "properties" {
				all = append(all, e)
				continue
			}
			for _, p := range e.Children {
				if p.Name == "property" && slices.ContainsFunc(p.Attrs, func(a xmltext.Attr) bool { return a.Name == "name" }) {
					all = append(all, p)
				}
			}
		}
	}
	same := func(e *xmltext.Element, entry atlassian.Entry) bool {
		return e.Text == entry.Value && e.Line == entry.Line
	}
	if !slices.EqualFunc(all, file.Entries, same) {
		return nil, fault.New(fault.Unsupported, "the elements of the file are not those that the product reads")
	}
	return all, nil
}

// below appends the elements below parent that are entries of dbconfig.xml, as
// package product lists them.
func below(all []*xmltext.Element, parent *xmltext.Element) []*xmltext.Element {
	for _, e := range parent.Children {
		if len(e.Children) == 0 || strings.TrimSpace(e.Text) != "" {
			all = append(all, e)
		}
		all = below(all, e)
	}
	return all
}
