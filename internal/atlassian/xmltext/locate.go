package xmltext

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// A Document is a parsed document for who wants to change it.
type Document struct {
	Root *Element

	bytes   []byte
	decoded decoded
	places  map[*Element]*Place
}

// A Place is where an element stands in the bytes of its document.
type Place struct {
	Tag string // the name as written, with its prefix

	// Start is where the element begins. Open is where the end of its start tag
	// is, a ">" or, if Empty, a "/>", and Content what follows that. Close is
	// where the end tag begins, which an Empty element has not, and End what
	// follows the element.
	Start, Open, Content, Close, End int
	Empty                            bool

	// Text has the pieces of the element's own text, references and CDATA
	// sections included. What is between two of them is other markup.
	Text []Span
}

// A Span is a range of bytes.
type Span struct{ Start, End int }

// Locate is [Parse] for who wants to change the document. It keeps b.
func Locate(b []byte) (*Document, error) {
	d, err := decode(b)
	if err != nil {
		return nil, err
	}
	p := newParser(d)
	p.places = map[*Element]*Place{}
	root, err := p.document()
	if err != nil {
		return nil, err
	}
	return &Document{root, b, d, p.places}, nil
}

func (p *parser) sawTag(e *Element, tag string, start, end int) {
	if p.places != nil {
		p.places[e] = &Place{Tag: tag, Start: start, Open: p.pos, Content: p.pos + end, Empty: end > len(">")}
	}
}

func (p *parser) sawText(e *Element, start int) {
	if p.places == nil {
		return
	}
	text := &p.places[e].Text
	if n := len(*text); n > 0 && (*text)[n-1].End == start {
		(*text)[n-1].End = p.pos
		return
	}
	*text = append(*text, Span{start, p.pos})
}

// sawEnd is told where the end tag began, behind which pos is.
func (p *parser) sawEnd(e *Element, closing int) {
	if p.places != nil {
		p.places[e].Close, p.places[e].End = closing, p.pos
	}
}

// Text returns the document without its declaration, markup included, in UTF-8
// and with every line end a line feed, and the number of its first line.
func (d *Document) Text() (line int, text string) { return d.decoded.line, d.decoded.text }

// Place returns where an element of the document stands. It costs a pass over
// the document.
func (d *Document) Place(e *Element) Place { return d.Places(e)[0] }

// Places returns where elements of the document stand, in one pass over it.
func (d *Document) Places(elements ...*Element) []Place {
	places := make([]Place, len(elements))
	var offsets []*int
	for i, e := range elements {
		p := &places[i]
		*p = *d.places[e]
		p.Text = slices.Clone(p.Text)
		offsets = append(offsets, &p.Start, &p.Open, &p.Content, &p.Close, &p.End)
		for j := range p.Text {
			offsets = append(offsets, &p.Text[j].Start, &p.Text[j].End)
		}
	}
	slices.SortFunc(offsets, func(a, b *int) int { return *a - *b })
	w := walker{d: d, at: d.decoded.start}
	for _, offset := range offsets {
		*offset = w.to(*offset)
	}
	return places
}

// A walker finds out from which bytes the decoded text comes.
type walker struct {
	d       *Document
	at      int // in the bytes
	decoded int // in the text
}

// to returns where the byte at an offset of the decoded text comes from. The
// offsets asked for must not become smaller.
func (w *walker) to(offset int) int {
	for w.decoded < offset {
		r, size := w.d.next(w.at)
		next, nextSize := w.d.next(w.at + size)
		xml11 := w.d.decoded.xml11
		switch {
		case r == '\r' && (next == '\n' || xml11 && next == '\u0085'):
			size += nextSize
			r = '\n'
		case xml11 && (r == '\u0085' || r == '\u2028'):
			r = '\n'
		}
		w.at += size
		w.decoded += utf8.RuneLen(r)
	}
	return w.at
}

// next returns the character at an offset of the bytes, and how many it has; at
// their end -1.
func (d *Document) next(at int) (r rune, size int) {
	b := d.bytes[at:]
	if len(b) == 0 {
		return -1, 0
	}
	switch d.decoded.charset {
	case utf8Charset:
		return utf8.DecodeRune(b)
	case utf16LE, utf16BE:
		unit := binary.LittleEndian.Uint16
		if d.decoded.charset == utf16BE {
			unit = binary.BigEndian.Uint16
		}
		if r := rune(unit(b)); !utf16.IsSurrogate(r) {
			return r, 2
		}
		return utf16.DecodeRune(rune(unit(b)), rune(unit(b[2:]))), 4
	case windows1252:
		return charmap.Windows1252.DecodeByte(b[0]), 1
	}
	return rune(b[0]), 1
}

// Markup returns markup, or a part of it, in the document's encoding, which
// must have its characters.
func (d *Document) Markup(s string) []byte {
	var out []byte
	for _, c := range s {
		out = d.append(out, c)
	}
	return out
}

// Quote returns text as an element of the document has it between its tags. It
// returns false if XML has no way to write it.
func (d *Document) Quote(text string) ([]byte, bool) {
	if !utf8.ValidString(text) {
		return nil, false
	}
	var out []byte
	for _, c := range text {
		switch {
		case !isChar(c, d.decoded.xml11):
			return nil, false
		case c == '&':
			out = append(out, d.Markup("&amp;")...)
		case c == '<':
			out = append(out, d.Markup("&lt;")...)
		case c == '>':
			out = append(out, d.Markup("&gt;")...)
		// Line ends and controls are not what they seem in one of the versions.
		case c < ' ', 0x7F <= c && c < 0xA0, c == '\u2028', !d.has(c):
			out = append(out, d.Markup(fmt.Sprintf("&#%d;", c))...)
		default:
			out = d.append(out, c)
		}
	}
	return out, true
}

// has reports whether the document's encoding has a character.
func (d *Document) has(c rune) bool {
	switch d.decoded.charset {
	case ascii:
		return c < utf8.RuneSelf
	case latin1:
		return c <= 0xFF
	case windows1252:
		_, ok := charmap.Windows1252.EncodeRune(c)
		return ok
	}
	return true
}

func (d *Document) append(out []byte, c rune) []byte {
	switch d.decoded.charset {
	case utf8Charset:
		return utf8.AppendRune(out, c)
	case utf16LE, utf16BE:
		for _, unit := range utf16.AppendRune(nil, c) {
			if d.decoded.charset == utf16LE {
				out = binary.LittleEndian.AppendUint16(out, unit)
			} else {
				out = binary.BigEndian.AppendUint16(out, unit)
			}
		}
		return out
	case windows1252:
		b, _ := charmap.Windows1252.EncodeRune(c)
		return append(out, b)
	}
	return append(out, byte(c))
}

// Indent returns where the line end is before a place, if there is nothing but
// blanks between them.
func (d *Document) Indent(at int) (lineEnd int, ok bool) {
	for d.before(at) == ' ' || d.before(at) == '\t' {
		at -= d.unit()
	}
	switch d.before(at) {
	case '\n':
		at -= d.unit()
		if d.before(at) == '\r' {
			at -= d.unit()
		}
		return at, true
	case '\r':
		return at - d.unit(), true
	}
	return 0, false
}

// EndsLine reports whether nothing but blanks stands between a place and the
// next line end.
func (d *Document) EndsLine(at int) bool {
	for {
		r, size := d.next(at)
		if r != ' ' && r != '\t' {
			return r == '\n' || r == '\r'
		}
		at += size
	}
}

// before returns the character before a place if it is ASCII, else some other
// one that is not.
func (d *Document) before(at int) rune {
	if at-d.unit() < d.decoded.start {
		return -1
	}
	r, _ := d.next(at - d.unit())
	return r
}

// unit is the size of an ASCII character in bytes.
func (d *Document) unit() int {
	if d.decoded.charset == utf16LE || d.decoded.charset == utf16BE {
		return 2
	}
	return 1
}
