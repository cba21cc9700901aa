package xmltext

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// A Document is a parsed document that can be edited.
type Document struct {
	Root *Element

	bytes   []byte
	decoded decoded
	places  map[*Element]*Place
}

// A Place holds the positions of an element in the bytes of its document.
type Place struct {
	Tag string // the name as written, with its prefix

	// Start is the start of the element. Open is the ">" of its start tag or, if
	// Empty, the "/>", and Content is the position after it. Close is the start
	// of the end tag, unless Empty, and End is the position after the element.
	Start, Open, Content, Close, End int
	Empty                            bool

	// Text has the pieces of the element's own text, with references and CDATA
	// sections. Between two pieces there is other markup.
	Text []Span
}

// A Span is a range of bytes.
type Span struct{ Start, End int }

// Locate is like [Parse] but also records positions, for editing. It keeps b.
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

func (p *parser) addPlace(e *Element, tag string, start, end int) {
	if p.places != nil {
		p.places[e] = &Place{Tag: tag, Start: start, Open: p.pos, Content: p.pos + end,
			Empty: end > len(">")}
	}
}

func (p *parser) addText(e *Element, start int) {
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

// closePlace records where the end tag began; pos is after it.
func (p *parser) closePlace(e *Element, closing int) {
	if p.places != nil {
		p.places[e].Close, p.places[e].End = closing, p.pos
	}
}

// Text returns the document without its declaration, markup included, in UTF-8
// and with every line end a line feed, and the number of its first line.
func (d *Document) Text() (line int, text string) { return d.decoded.line, d.decoded.text }

// Place returns the positions of an element. It makes a pass over the document.
func (d *Document) Place(e *Element) Place { return d.Places(e)[0] }

// Places returns the positions of elements, in one pass over the document.
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

// A walker maps offsets in the decoded text to offsets in the bytes.
type walker struct {
	d       *Document
	at      int // in the bytes
	decoded int // in the text
}

// to returns the byte offset for an offset in the decoded text. Offsets must not
// decrease from call to call.
func (w *walker) to(offset int) int {
	for w.decoded < offset {
		r, size := w.d.next(w.at)
		if r == '\r' {
			if next, nextSize := w.d.next(w.at + size); next == '\n' {
				size += nextSize
			}
			r = '\n'
		}
		w.at += size
		w.decoded += utf8.RuneLen(r)
	}
	return w.at
}

// next returns the character at a byte offset and its size in bytes, or -1 at the
// end.
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

// Markup encodes markup, or a part of it, in the document's encoding, which must
// have its characters.
func (d *Document) Markup(s string) []byte {
	var out []byte
	for _, c := range s {
		out = d.append(out, c)
	}
	return out
}

// Quote returns text escaped and encoded for use between an element's tags. It
// returns false if XML cannot express it.
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
		// Unescaped, these are changed or refused by one of the versions.
		case c < ' ', 0x7F <= c && c < 0xA0, c == '\u2028', !d.canEncode(c):
			out = append(out, d.Markup(fmt.Sprintf("&#%d;", c))...)
		default:
			out = d.append(out, c)
		}
	}
	return out, true
}

// canEncode reports whether the document's encoding has a character.
func (d *Document) canEncode(c rune) bool {
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

// Indent returns the position of the line end before at, if there are only
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

// EndsLine reports whether there are only blanks between at and the next line
// end.
func (d *Document) EndsLine(at int) bool {
	for {
		r, size := d.next(at)
		if r != ' ' && r != '\t' {
			return r == '\n' || r == '\r'
		}
		at += size
	}
}

// before returns the character before at if it is ASCII, otherwise some
// character that is not.
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
