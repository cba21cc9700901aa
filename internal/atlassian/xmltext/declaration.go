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
func (r *declReader) pseudo(name string) (value string, ok bool) {
	start := r.pos
	defer func() {
		if !ok {
			r.pos = start
		}
	}()
	if !r.space() || !r.literal(name) {
		return "", false
	}
	r.space()
	if !r.literal("=") {
		return "", false
	}
	r.space()
	if r.pos == len(r.b) || r.b[r.pos] != '"' && r.b[r.pos] != '\'' {
		return "", false
	}
	rest := r.b[r.pos+1:]
	n := bytes.IndexByte(rest, r.b[r.pos])
	if n < 0 {
		return "", false
	}
	r.pos += n + 2
	return string(rest[:n]), true
}

// space skips white space and reports whether there was any.
func (r *declReader) space() bool {
	start := r.pos
	for r.pos < len(r.b) && isSpace(r.b[r.pos]) {
		r.pos++
	}
	return r.pos > start
}

func (r *declReader) literal(s string) bool {
	if !bytes.HasPrefix(r.b[r.pos:], []byte(s)) {
		return false
	}
	r.pos += len(s)
	return true
}

func (r *declReader) line() int { return 1 + lineEnds(r.b[:r.pos]) }

func (r *declReader) fail(why string) error {
	return fault.New(fault.Syntax, "line %d: malformed XML declaration: %s", r.line(), why)
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
