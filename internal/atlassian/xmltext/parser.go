package xmltext

import (
	"strings"
	"unicode/utf8"

	"github.com/seed74218947/secretref/internal/fault"
)

// A parser reads the text of a decoded document.
type parser struct {
	s     string
	pos   int
	xml11 bool

	// markLine is the line of markPos; with it no line is counted twice.
	markPos, markLine int

	root *Element
	open []frame // elements without an end tag so far, outermost first

	bound map[string]string // prefix ("" for none) → namespace, at pos
	undo  []binding         // bindings that the open elements replaced

	places map[*Element]*Place // offsets in the decoded text; nil for Parse
}

// document reads the whole document: prolog, root element, trailing comments
// and processing instructions.
func (p *parser) document() (*Element, error) {
	if err := p.prolog(); err != nil {
		return nil, err
	}
	if err := p.startTag(); err != nil {
		return nil, err
	}
	for len(p.open) > 0 {
		if err := p.content(); err != nil {
			return nil, err
		}
	}
	for p.skipSpace(); p.pos < len(p.s); p.skipSpace() {
		if err := p.misc("after the root element"); err != nil {
			return nil, err
		}
	}
	return p.root, nil
}

// prolog skips everything before the root element's '<'.
func (p *parser) prolog() error {
	doctype := false
	for {
		p.skipSpace()
		rest := p.s[p.pos:]
		switch {
		case rest == "":
			return p.fail("the document has no root element")
		case strings.HasPrefix(rest, "<!DOCTYPE"):
			if doctype {
				return p.fail("a second DOCTYPE")
			}
			doctype = true
			if err := p.doctype(); err != nil {
				return err
			}
		case rest[0] != '<' || strings.HasPrefix(rest, "<!") || strings.HasPrefix(rest, "<?"):
			if err := p.misc("before the root element"); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// misc skips a comment or a processing instruction, the only markup allowed
// outside the root element; where says before or after it.
func (p *parser) misc(where string) error {
	switch rest := p.s[p.pos:]; {
	case strings.HasPrefix(rest, "<!--"):
		return p.comment()
	case strings.HasPrefix(rest, "<?"):
		return p.instruction()
	case rest[0] == '<':
		return p.fail("only comments are allowed %s", where)
	}
	return p.fail("text %s", where)
}

// doctype skips a DOCTYPE that only names the root element. Any other is
// refused: a subset can define entities, and an external one has to be fetched.
func (p *parser) doctype() error {
	start := p.pos
	p.pos += len("<!DOCTYPE")
	if !p.skipSpace() {
		return p.fail("malformed DOCTYPE")
	}
	n := name(p.s[p.pos:])
	p.pos += len(n)
	spaced := p.skipSpace()
	rest := p.s[p.pos:]
	switch {
	case n == "":
	case strings.HasPrefix(rest, ">"):
		p.pos++
		return nil
	case strings.HasPrefix(rest, "["):
		return p.refuse(start,
			"a DOCTYPE with an internal subset is refused; write the values instead of the entities")
	case spaced && (strings.HasPrefix(rest, "SYSTEM") || strings.HasPrefix(rest, "PUBLIC")):
		return p.refuse(start,
			"a DOCTYPE with an external identifier is refused; nothing outside the file is read")
	}
	return p.fail("malformed DOCTYPE")
}

// comment skips a comment.
func (p *parser) comment() error {
	start := p.pos
	p.pos += len("<!--")
	n := strings.Index(p.s[p.pos:], "--")
	if n < 0 {
		return p.failAt(start, "unterminated comment")
	}
	p.pos += n
	if !strings.HasPrefix(p.s[p.pos:], "-->") {
		return p.fail("-- inside a comment")
	}
	p.pos += len("-->")
	return nil
}

// instruction skips a processing instruction.
func (p *parser) instruction() error {
	start := p.pos
	p.pos += len("<?")
	target := name(p.s[p.pos:])
	switch {
	case target == "":
		return p.fail("a processing instruction without a name")
	case strings.EqualFold(target, "xml"):
		return p.failAt(start,
			"the XML declaration is only allowed once, at the very beginning of the file, in lower case")
	}
	p.pos += len(target)
	if rest := p.s[p.pos:]; !strings.HasPrefix(rest, "?>") && (rest == "" || !isSpace(rest[0])) {
		return p.fail("malformed processing instruction")
	}
	n := strings.Index(p.s[p.pos:], "?>")
	if n < 0 {
		return p.failAt(start, "unterminated processing instruction")
	}
	p.pos += n + len("?>")
	return nil
}

// reference reads the reference at the '&' and appends its replacement text.
func (p *parser) reference(text []byte) ([]byte, error) {
	start := p.pos
	// The body has no maximum length (leading zeros), but the search stops at
	// the next '&', so that all searches together are linear.
	n := strings.IndexAny(p.s[start+1:], ";&<")
	if n < 0 || p.s[start+1+n] != ';' {
		return nil, p.fail("a bare &; write &amp;")
	}
	body := p.s[start+1 : start+1+n]
	p.pos += n + 2
	if number, ok := strings.CutPrefix(body, "#"); ok {
		r, ok := charNumber(number)
		if !ok {
			return nil, p.failAt(start, "malformed character reference")
		}
		if !isChar(r, p.xml11) {
			return nil, p.failAt(start, "a reference to a character that XML does not allow")
		}
		return utf8.AppendRune(text, r), nil
	}
	switch body {
	case "lt":
		return append(text, '<'), nil
	case "gt":
		return append(text, '>'), nil
	case "amp":
		return append(text, '&'), nil
	case "quot":
		return append(text, '"'), nil
	case "apos":
		return append(text, '\''), nil
	}
	return nil, p.failAt(start,
		"an entity that is not one of lt, gt, amp, quot, apos; write &amp; for a bare &")
}

// charNumber parses the part of a character reference after "&#".
func charNumber(s string) (r rune, ok bool) {
	base := rune(10)
	if hex, ok := strings.CutPrefix(s, "x"); ok {
		s, base = hex, 16
	}
	for i := range len(s) {
		digit := rune(16)
		switch c := rune(s[i]); {
		case '0' <= c && c <= '9':
			digit = c - '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			digit = c | 0x20 - 'a' + 10
		}
		if digit >= base {
			return 0, false
		}
		r = min(r*base+digit, utf8.MaxRune+1) // stays out of range once it is
	}
	return r, s != ""
}

// skipSpace skips white space and reports whether there was any.
func (p *parser) skipSpace() bool {
	start := p.pos
	for p.pos < len(p.s) && isSpace(p.s[p.pos]) {
		p.pos++
	}
	return p.pos > start
}

// line returns the line of an offset. Offsets must not decrease from call to
// call, so that all calls together make one pass over the document.
func (p *parser) line(pos int) int {
	p.markLine += strings.Count(p.s[p.markPos:pos], "\n")
	p.markPos = pos
	return p.markLine
}

func (p *parser) fail(format string, args ...any) error { return p.failAt(p.pos, format, args...) }

func (p *parser) failAt(pos int, format string, args ...any) error {
	return fault.New(fault.Syntax, "line %d: "+format, append([]any{p.line(pos)}, args...)...)
}

func (p *parser) refuse(pos int, why string) error {
	return fault.New(fault.Unsupported, "line %d: %s", p.line(pos), why)
}
