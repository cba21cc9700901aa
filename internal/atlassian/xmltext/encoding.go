package xmltext

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/seed74218947/secretref/internal/fault"
)

// A charset is one of the encodings a document can be in.
type charset int

const (
	utf8Charset charset = iota
	utf16Either         // "UTF-16": the bytes decide the byte order
	utf16LE
	utf16BE
	ascii
	latin1
	windows1252
)

// charsetOf returns the encoding that the JDK's Xerces means by a name, in any
// letter case. known is false if it is not supported. Java takes the three
// UTF-16 names without a byte order for big-endian.
func charsetOf(name string) (c charset, known bool) {
	switch strings.ToLower(name) {
	case "utf-8", "utf8", "unicode-1-1-utf-8":
		return utf8Charset, true
	case "utf-16":
		return utf16Either, true
	case "utf-16le", "utf_16le", "x-utf-16le", "x-utf-16le-bom", "unicodelittle",
		"unicodelittleunmarked":
		return utf16LE, true
	case "utf-16be", "utf_16be", "x-utf-16be", "unicodebig", "unicodebigunmarked", "utf16", "utf_16",
		"unicode":
		return utf16BE, true
	case "us-ascii", "ascii", "ascii7", "us", "csascii", "default", "iso646-us", "iso-ir-6",
		"ansi_x3.4-1968", "ansi_x3.4-1986", "cp367", "ibm367", "ibm-367":
		return ascii, true
	case "iso-8859-1", "iso8859-1", "iso8859_1", "iso_8859-1", "iso_8859_1", "latin1", "l1",
		"csisolatin1",
		"iso-ir-100", "cp819", "ibm819", "ibm-819":
		return latin1, true
	case "windows-1252", "cp1252", "ibm1252", "ibm-1252", "cp5348":
		return windows1252, true
	}
	return 0, false
}

// decoded is a document without its XML declaration, in UTF-8, with line feeds
// as line ends and allowed characters only.
type decoded struct {
	text  string
	line  int // where text begins
	xml11 bool

	charset charset
	start   int // where text begins in the bytes
}

// decode determines the encoding of b from its first bytes, then from its
// declaration, and decodes it.
func decode(b []byte) (decoded, error) {
	size := len(b)
	found, b := sniff(b)
	start := size - len(b)
	if found != utf8Charset {
		text, bad := fromUTF16(b, found)
		if bad >= 0 {
			return decoded{}, fault.New(fault.Syntax, "line %d: bytes that are not UTF-16", 1+lineEnds(text))
		}
		b = text
	}
	decl, end, err := parseDeclaration(b)
	if err != nil {
		return decoded{}, err
	}
	head, rest := b[:end], b[end:]
	line := 1 + lineEnds(head)

	declared := found
	if decl.encoding != "" {
		name, known := charsetOf(decl.encoding)
		if !known {
			return decoded{}, fault.New(fault.Unsupported,
				"line %d: encoding %.40q; save the file as UTF-8", line, decl.encoding)
		}
		declared = name
	}
	isUTF16 := utf16Either <= declared && declared <= utf16BE
	switch {
	case found == utf8Charset && isUTF16,
		found != utf8Charset && declared != utf16Either && declared != found:
		return decoded{}, fault.New(fault.Syntax,
			"line %d: the bytes are not in the declared encoding %.40q", line, decl.encoding)
	case found == utf8Charset:
		text, bad := toUTF8(rest, declared)
		if bad >= 0 {
			return decoded{}, fault.New(fault.Syntax,
				"line %d: a byte that is not valid in the file's encoding"+
					" (is the encoding in the XML declaration right? the default is UTF-8)",
				line+lineEnds(rest[:bad]))
		}
		rest = text
	}
	text, bad := normalize(rest, decl.xml11)
	if bad >= 0 {
		return decoded{}, fault.New(fault.Syntax,
			"line %d: a character that this version of XML does not allow",
			line+strings.Count(text, "\n"))
	}
	if found != utf8Charset {
		declared = found
		start += utf8.RuneCount(head) // each is two bytes
	}
	return decoded{text: text, line: line, xml11: decl.xml11, charset: declared,
		start: start + len(head)}, nil
}

// sniff detects UTF-16 by its byte order mark or by a two-byte "<?"; anything
// else can be read as ASCII at first. It returns b without the mark.
func sniff(b []byte) (charset, []byte) {
	for _, start := range []struct {
		bytes   string
		charset charset
		mark    int
	}{
		{"\xef\xbb\xbf", utf8Charset, 3},
		{"\xff\xfe", utf16LE, 2},
		{"\xfe\xff", utf16BE, 2},
		{"<\x00?\x00", utf16LE, 0},
		{"\x00<\x00?", utf16BE, 0},
	} {
		if bytes.HasPrefix(b, []byte(start.bytes)) {
			return start.charset, b[start.mark:]
		}
	}
	return utf8Charset, b
}

// fromUTF16 returns b in UTF-8. At an unpaired surrogate or half a unit it stops
// and returns the text before it and the offset in b; otherwise bad is -1.
func fromUTF16(b []byte, c charset) (text []byte, bad int) {
	var order binary.ByteOrder = binary.LittleEndian
	if c == utf16BE {
		order = binary.BigEndian
	}
	text = make([]byte, 0, len(b)/2+len(b)/8)
	for i := 0; i < len(b); i += 2 {
		if i+1 == len(b) {
			return text, i
		}
		r := rune(order.Uint16(b[i:]))
		if utf16.IsSurrogate(r) {
			if i+3 >= len(b) {
				return text, i
			}
			if r = utf16.DecodeRune(r, rune(order.Uint16(b[i+2:]))); r == utf8.RuneError {
				return text, i
			}
			i += 2
		}
		text = utf8.AppendRune(text, r)
	}
	return text, -1
}

// toUTF8 converts b from a charset that extends ASCII to UTF-8. bad is the offset
// of the first undefined byte, or -1.
func toUTF8(b []byte, c charset) (text []byte, bad int) {
	high := bytes.IndexFunc(b, func(r rune) bool { return r >= utf8.RuneSelf })
	if high < 0 {
		return b, -1
	}
	if c == utf8Charset {
		for i := high; i < len(b); {
			r, size := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && size == 1 {
				return nil, i
			}
			i += size
		}
		return b, -1
	}
	text = append(make([]byte, 0, len(b)+len(b)/4), b[:high]...)
	for i := high; i < len(b); i++ {
		r := rune(b[i])
		if r >= utf8.RuneSelf && c == ascii {
			return nil, i
		}
		if c == windows1252 {
			if r = charmap.Windows1252.DecodeByte(b[i]); r == utf8.RuneError {
				return nil, i
			}
		}
		text = utf8.AppendRune(text, r)
	}
	return text, -1
}

// lineEnds counts the line ends of XML 1.0 in b.
func lineEnds(b []byte) int {
	return bytes.Count(b, []byte("\n")) + bytes.Count(b, []byte("\r")) - bytes.Count(b, []byte("\r\n"))
}
