package xmltext

import "strings"

// A frame is an element whose end tag has not been read.
type frame struct {
	element *Element
	tag     string // the name as written, prefix included
	text    []byte
	undo    int // len(parser.undo) before the element
}

// content reads text up to the next markup, and that markup, inside the
// innermost open element.
func (p *parser) content() error {
	top := &p.open[len(p.open)-1]
	start := p.pos
	n := strings.IndexAny(p.s[start:], "<&")
	if n < 0 {
		p.pos = len(p.s)
		return p.fail("the file ends inside the element of line %d", top.element.Line)
	}
	if n > 0 {
		text := p.s[start : start+n]
		if bad := strings.Index(text, "]]>"); bad >= 0 {
			return p.failAt(start+bad, "]]> in text; write ]]&gt;")
		}
		top.text = append(top.text, text...)
		p.pos += n
		p.addText(top.element, start)
	}
	rest := p.s[p.pos:]
	switch {
	case rest[0] == '&':
		start := p.pos
		text, err := p.reference(top.text)
		top.text = text
		p.addText(top.element, start)
		return err
	case strings.HasPrefix(rest, "</"):
		return p.endTag()
	case strings.HasPrefix(rest, "<!--"):
		return p.comment()
	case strings.HasPrefix(rest, "<?"):
		return p.instruction()
	case strings.HasPrefix(rest, "<![CDATA["):
		return p.cdata(top)
	case strings.HasPrefix(rest, "<!"):
		return p.fail("a declaration inside an element")
	}
	return p.startTag()
}

// cdata reads a CDATA section.
//
// In XML 1.1 the JDK's Xerces reads brackets in pairs and takes "]]]>" for
// text, against the standard: refused, so that no reading differs from the
// product's.
func (p *parser) cdata(top *frame) error {
	start := p.pos
	p.pos += len("<![CDATA[")
	text, _, closed := strings.Cut(p.s[p.pos:], "]]>")
	switch {
	case !closed:
		return p.failAt(start, "unterminated CDATA section")
	case p.xml11 && strings.HasSuffix(text, "]"):
		return p.failAt(start, `a CDATA section that ends in "]]]>" is not supported in XML 1.1`)
	}
	top.text = append(top.text, text...)
	p.pos += len(text) + len("]]>")
	p.addText(top.element, start)
	return nil
}

// startTag reads a start tag or an empty element tag.
func (p *parser) startTag() error {
	start := p.pos
	if len(p.open) == maxDepth {
		return p.fail("elements are nested more than %d deep", maxDepth)
	}
	p.pos++
	prefix, local, tag := p.qName()
	if local == "" {
		return p.fail("a bare < or a malformed element name; write &lt; for a bare <")
	}
	attrs, err := p.attributes()
	if err != nil {
		return err
	}
	e := &Element{Name: local, Line: p.line(start)}
	undo := len(p.undo)
	if e.Attrs, err = p.namespaces(start, prefix, attrs); err != nil {
		return err
	}
	if len(p.open) == 0 {
		p.root = e
	} else {
		parent := p.open[len(p.open)-1].element
		parent.Children = append(parent.Children, e)
	}
	if strings.HasPrefix(p.s[p.pos:], "/>") {
		p.addPlace(e, tag, start, len("/>"))
		p.pos += len("/>")
		p.closePlace(e, p.pos)
		p.unbind(undo)
		return nil
	}
	p.addPlace(e, tag, start, len(">"))
	p.pos++
	p.push(e, tag, undo)
	return nil
}

// push opens an element and reuses the text buffer of the last one at its depth.
func (p *parser) push(e *Element, tag string, undo int) {
	n := len(p.open)
	if n < cap(p.open) {
		p.open = p.open[:n+1]
	} else {
		p.open = append(p.open, frame{})
	}
	p.open[n] = frame{element: e, tag: tag, text: p.open[n].text[:0], undo: undo}
}

func (p *parser) endTag() error {
	top := &p.open[len(p.open)-1]
	start := p.pos
	rest, ok := strings.CutPrefix(p.s[p.pos+len("</"):], top.tag)
	if !ok {
		return p.fail("the end tag does not match the start tag of line %d", top.element.Line)
	}
	p.pos = len(p.s) - len(rest)
	p.skipSpace()
	if !strings.HasPrefix(p.s[p.pos:], ">") {
		return p.fail("the end tag is malformed or does not match the start tag of line %d",
			top.element.Line)
	}
	p.pos++
	p.closePlace(top.element, start)
	top.element.Text = string(top.text)
	p.unbind(top.undo)
	p.open = p.open[:len(p.open)-1]
	return nil
}

// qName reads a name with at most one colon, neither first nor last. If there is
// none at pos, it returns "" and reads nothing.
func (p *parser) qName() (prefix, local, tag string) {
	first := ncName(p.s[p.pos:])
	if first == "" {
		return "", "", ""
	}
	rest := p.s[p.pos+len(first):]
	if !strings.HasPrefix(rest, ":") {
		p.pos += len(first)
		return "", first, first
	}
	second := ncName(rest[1:])
	if second == "" {
		return "", "", ""
	}
	tag = p.s[p.pos : p.pos+len(first)+1+len(second)]
	p.pos += len(tag)
	return first, second, tag
}
