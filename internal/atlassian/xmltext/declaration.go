package xmltext

import (
	"bytes"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

// declaration is the content of an XML declaration; the zero value means that
// there is none.
type declaration struct {
	xml11    bool
	encoding string
}

// parseDeclaration reads the declaration at the start of b, if there is one, and
// returns the offset after it. b is in any charset that extends ASCII.
func parseDeclaration(b []byte) (d declaration, end int, err error) {
	const open = "<?xml"
	if !bytes.HasPrefix(b, []byte(open)) || len(b) == len(open) || !isSpace(b[len(open)]) {
		return d, 0, nil // a processing instruction such as <?xml-stylesheet
	}
	r := declReader{b: b, pos: len(open)}
	version, ok := r.pseudo("version")
	if !ok {
		return d, 0, r.fail(`it must begin with <?xml version="1.0"`)
	}
	switch version {
	case "1.0":
	case "1.1":
		d.xml11 = true
	default:
		return d, 0, fault.New(fault.Unsupported,
			"line %d: this XML version is not supported; the products write version=\"1.0\"", r.line())
	}
	encoding, ok := r.pseudo("encoding")
	if ok && !isEncodingName(encoding) {
		return d, 0, r.fail("the encoding is not a valid name")
	}
	d.encoding = encoding
	standalone, ok := r.pseudo("standalone")
	if ok && standalone != "yes" && standalone != "no" {
		return d, 0, r.fail("standalone must be yes or no")
	}
	r.space()
	if !bytes.HasPrefix(b[r.pos:], []byte("?>")) {
		return d, 0,
			r.fail("expected version, encoding and standalone, in this order and quoted, then ?>")
	}
	return d, r.pos + len("?>"), nil
}

// declReader reads the declaration's pseudo attributes.
type declReader struct {
	b   []byte
	pos int
}

// pseudo reads white space and one pseudo attribute. If the attribute is missing
// or incomplete, it returns false and reads nothing.
func (d *declReader) pseudo(name string) (value string, ok bool) {
	start := d.pos
	defer func() {
		if !ok {
			d.pos = start
		}
	}()
	if !d.space() || !d.literal(name) {
		return "", false
	}
	d.space()
	if !d.literal("=") {
		return "", false
	}
	d.space()
	if d.pos == len(d.b) || d.b[d.pos] != '"' && d.b[d.pos] != '\'' {
		return "", false
	}
	rest := d.b[d.pos+1:]
	n := bytes.IndexByte(rest, d.b[d.pos])
	if n < 0 {
		return "", false
	}
	d.pos += n + 2
	return string(rest[:n]), true
}

// space skips white space and reports whether there was any.
func (d *declReader) space() bool {
	start := d.pos
	for d.pos < len(d.b) && isSpace(d.b[d.pos]) {
		d.pos++
	}
	return d.pos > start
}

func (d *declReader) literal(s string) bool {
	if !bytes.HasPrefix(d.b[d.pos:], []byte(s)) {
		return false
	}
	d.pos += len(s)
	return true
}

func (d *declReader) line() int { return 1 + lineEnds(d.b[:d.pos]) }

func (d *declReader) fail(why string) error {
	return fault.New(fault.Syntax, "line %d: malformed XML declaration: %s", d.line(), why)
}

// isEncodingName follows production 81, EncName.
func isEncodingName(s string) bool {
	letter := func(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
	if s == "" || !letter(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !letter(c) && !('0' <= c && c <= '9') && !strings.ContainsRune("._-", rune(c)) {
			return false
		}
	}
	return true
}
