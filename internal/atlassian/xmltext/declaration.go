package xmltext

import (
	"bytes"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

// declaration is what an XML declaration says. The zero value stands for none.
type declaration struct {
	xml11    bool
	encoding string
}

// parseDeclaration reads the declaration that b, in any charset extending
// ASCII, begins with, if it does, and returns the offset behind it.
func parseDeclaration(b []byte) (d declaration, end int, err error) {
	const open = "<?xml"
	if !bytes.HasPrefix(b, []byte(open)) || len(b) == len(open) || !isSpace(b[len(open)]) {
		return d, 0, nil // with more than white space it is a processing instruction
	}
	r := declReader{b: b, pos: len(open)}
	version, ok := r.pseudo("version", &d)
	if !ok {
		return d, 0, r.fail(`it begins <?xml version="1.0"`)
	}
	switch version {
	case "1.0":
	case "1.1":
		d.xml11 = true
	default:
		return d, 0, fault.New(fault.Unsupported, "line %d: XML of another version than 1.0 and 1.1", r.line())
	}
	encoding, ok := r.pseudo("encoding", &d)
	if ok && !isEncodingName(encoding) {
		return d, 0, r.fail("the encoding is not a name")
	}
	d.encoding = encoding
	standalone, ok := r.pseudo("standalone", &d)
	if ok && standalone != "yes" && standalone != "no" {
		return d, 0, r.fail("standalone is yes or no")
	}
	r.space(&d)
	if !bytes.HasPrefix(b[r.pos:], []byte("?>")) {
		return d, 0, r.fail("it has version, encoding and standalone, in this order and quoted, and ends in ?>")
	}
	return d, r.pos + len("?>"), nil
}

// declReader reads the declaration's pseudo attributes.
type declReader struct {
	b   []byte
	pos int
}

// pseudo reads white space and one pseudo attribute. Unless all of it is there
// it reports false and stays where it is.
func (r *declReader) pseudo(name string, d *declaration) (value string, ok bool) {
	start := r.pos
	defer func() {
		if !ok {
			r.pos = start
		}
	}()
	if !r.space(d) || !r.literal(name) {
		return "", false
	}
	r.space(d)
	if !r.literal("=") {
		return "", false
	}
	r.space(d)
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

// space skips white space and reports whether there was any. Once the version
// is known to be 1.1 that includes the line ends of 1.1.
func (r *declReader) space(d *declaration) bool {
	start := r.pos
	for r.pos < len(r.b) {
		switch c := r.b[r.pos]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			r.pos++
		case d.xml11 && r.literal("\u0085"), d.xml11 && r.literal("\u2028"):
		default:
			return r.pos > start
		}
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
