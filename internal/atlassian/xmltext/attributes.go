package xmltext

import (
	"slices"
	"strings"
)

const (
	xmlNamespace   = "http://www.w3.org/XML/1998/namespace"
	xmlnsNamespace = "http://www.w3.org/2000/xmlns/"
)

// rawAttr is an attribute as written in a start tag.
type rawAttr struct {
	prefix, local, value string
	pos                  int
}

// declares reports whether the attribute is a namespace declaration and returns
// the prefix that it binds, "" for the default namespace.
func (r rawAttr) declares() (prefix string, ok bool) {
	if r.prefix == "xmlns" {
		return r.local, true
	}
	return "", r.prefix == "" && r.local == "xmlns"
}

// attributes reads the rest of a tag, up to ">" or "/>".
func (p *parser) attributes() ([]rawAttr, error) {
	var attrs []rawAttr
	for {
		spaced := p.skipSpace()
		rest := p.s[p.pos:]
		if strings.HasPrefix(rest, ">") || strings.HasPrefix(rest, "/>") {
			return attrs, nil
		}
		a := rawAttr{pos: p.pos}
		if spaced {
			a.prefix, a.local, _ = p.qName()
		}
		if a.local == "" {
			return nil, p.fail("malformed tag; write &lt; for a bare <")
		}
		p.skipSpace()
		if !strings.HasPrefix(p.s[p.pos:], "=") {
			return nil, p.fail("an attribute without a value")
		}
		p.pos++
		p.skipSpace()
		var err error
		if a.value, err = p.attributeValue(); err != nil {
			return nil, err
		}
		attrs = append(attrs, a)
	}
}

// attributeValue reads a quoted value and normalizes it (section 3.3.3): white
// space becomes a space unless it comes from a reference.
func (p *parser) attributeValue() (string, error) {
	start := p.pos
	if start == len(p.s) || p.s[start] != '"' && p.s[start] != '\'' {
		return "", p.fail("an attribute value without quotes")
	}
	stops := p.s[start:start+1] + "<&\t\n"
	p.pos++
	var value []byte
	for {
		n := strings.IndexAny(p.s[p.pos:], stops)
		if n < 0 {
			return "", p.failAt(start, "unterminated attribute value")
		}
		text := p.s[p.pos : p.pos+n]
		p.pos += n
		switch p.s[p.pos] {
		case p.s[start]:
			p.pos++
			if value == nil {
				return text, nil
			}
			return string(append(value, text...)), nil
		case '<':
			return "", p.fail("< in an attribute value; write &lt;")
		case '&':
			var err error
			if value, err = p.reference(append(value, text...)); err != nil {
				return "", err
			}
		default:
			value = append(append(value, text...), ' ')
			p.pos++
		}
	}
}

// binding is a prefix's binding before a declaration replaced it.
type binding struct {
	prefix, namespace string
	wasBound          bool // the prefix had a namespace
}

// namespaces applies the namespace declarations of the element at start, checks
// that all prefixes are bound and no attribute appears twice, and returns the
// attributes that are not declarations.
func (p *parser) namespaces(start int, prefix string, raw []rawAttr) ([]Attr, error) {
	for _, a := range raw {
		if bound, ok := a.declares(); ok {
			if why := forbiddenDeclaration(bound, a.value); why != "" {
				return nil, p.failAt(a.pos, "%s", why)
			}
			p.bind(bound, a.value)
		}
	}
	if prefix != "" && p.bound[prefix] == "" {
		return nil, p.failAt(start, "the namespace prefix of the element is not declared")
	}
	var attrs []Attr
	var seen attrSet
	for _, a := range raw {
		namespace := xmlnsNamespace
		_, declaration := a.declares()
		if !declaration {
			namespace = ""
			if a.prefix != "" {
				if namespace = p.bound[a.prefix]; namespace == "" {
					return nil, p.failAt(a.pos, "the namespace prefix of an attribute is not declared")
				}
			}
			attrs = append(attrs, Attr{a.local, a.value})
		}
		if !seen.add(namespace, a.local) {
			return nil, p.failAt(a.pos, "an attribute appears twice")
		}
	}
	return attrs, nil
}

// forbiddenDeclaration returns why a declaration violates Namespaces in XML,
// section 3, or "".
func forbiddenDeclaration(prefix, namespace string) string {
	switch {
	case prefix == "xmlns" || namespace == xmlnsNamespace:
		return "the prefix xmlns and its namespace cannot be declared"
	case (prefix == "xml") != (namespace == xmlNamespace):
		return "the prefix xml can only be bound to its own namespace"
	case prefix != "" && namespace == "":
		return "a namespace prefix cannot be undeclared in XML 1.0"
	}
	return ""
}

func (p *parser) bind(prefix, namespace string) {
	old, wasBound := p.bound[prefix]
	p.undo = append(p.undo, binding{prefix, old, wasBound})
	p.bound[prefix] = namespace
}

// unbind undoes the declarations made since p.undo had length n.
func (p *parser) unbind(n int) {
	for i := len(p.undo) - 1; i >= n; i-- {
		if b := p.undo[i]; b.wasBound {
			p.bound[b.prefix] = b.namespace
		} else {
			delete(p.bound, b.prefix)
		}
	}
	p.undo = p.undo[:n]
}

// attrSet holds the attributes of one element: the first few in an array, since
// most elements have no more, the others in a map.
type attrSet struct {
	few  [8]expandedName
	n    int
	many map[expandedName]bool
}

type expandedName struct{ namespace, local string }

// add reports whether the attribute is new.
func (a *attrSet) add(namespace, local string) bool {
	name := expandedName{namespace, local}
	if slices.Contains(a.few[:a.n], name) || a.many[name] {
		return false
	}
	if a.n < len(a.few) {
		a.few[a.n] = name
		a.n++
		return true
	}
	if a.many == nil {
		a.many = map[expandedName]bool{}
	}
	a.many[name] = true
	return true
}
