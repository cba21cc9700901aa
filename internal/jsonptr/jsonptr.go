// Package jsonscan reads one value out of a JSON document (RFC 8259) in a
// single strict pass, without building a tree.
//
// [Lookup] and [LookupScalar] follow a JSON Pointer (RFC 6901) and validate the
// whole document on the way: what comes back never depends on text that another
// parser would read differently. [Valid] only validates. [String], [Skip] and
// [SkipSpace] are the pieces for reading a text that merely contains JSON.
//
// Strict means: UTF-8 everywhere and no byte order mark, no unpaired surrogate
// escapes, nothing after the value, at most [MaxDepth] containers inside one
// another. Of members with the same name the last wins, parents included.
//
// A document may be a secret, so no error holds a byte of it: malformed
// documents (fault.Syntax) are described by an offset, misses (fault.Pointer)
// in words of the pointer and the kinds of value it met.
package jsonptr

import (
	"slices"
	"strings"
	"unsafe"

	"github.com/seed74218947/secretref/internal/fault"
)

// MaxDepth is how many arrays and objects may be nested in one another.
const MaxDepth = 10_000

// Valid reports whether doc is one JSON value and nothing else.
func Valid(doc []byte) error {
	s := view(doc)
	next, p := document(s, nil)
	if p != fine {
		return p.at(next)
	}
	return nil
}

// Lookup returns the text of the value that pointer leads to, without white
// space around it. The result is a part of doc and shares its memory.
func Lookup(doc []byte, pointer string) ([]byte, error) {
	f, err := find(view(doc), pointer)
	if err != nil {
		return nil, err
	}
	return doc[f.start:f.end:f.end], nil
}

// LookupScalar returns the value that pointer leads to as text: a string
// unescaped, a number digit for digit as it is written, true or false. Anything
// else is fault.Pointer. The result does not share memory with doc.
func LookupScalar(doc []byte, pointer string) (string, error) {
	text, err := scalar(view(doc), pointer)
	if err != nil {
		return "", err
	}
	if text.owned {
		return text.value, nil
	}
	return strings.Clone(text.value), nil
}

// LookupScalarString is [LookupScalar] over a string. The result may be a
// substring of doc, and then keeps all of doc in memory.
func LookupScalarString(doc, pointer string) (string, error) {
	text, err := scalar(doc, pointer)
	return text.value, err
}

// MemberNames returns the member names of the object that pointer leads to,
// unescaped, each once, in the order of the document. It returns nil when there
// is no such object.
func MemberNames(doc []byte, pointer string) []string {
	s := view(doc)
	f, err := find(s, pointer)
	if err != nil || s[f.start] != '{' {
		return nil
	}
	var names []string
	seen := make(map[string]bool)
	for i := SkipSpace(s, f.start+1); s[i] == '"'; {
		name, next, err := String(s, i)
		if err != nil {
			return nil
		}
		if !seen[name] {
			seen[name] = true
			names = append(names, strings.Clone(name))
		}
		i = SkipSpace(s, SkipSpace(s, next)+1)
		if i, err = Skip(s, i); err != nil {
			return nil
		}
		if i = SkipSpace(s, i); s[i] == ',' {
			i = SkipSpace(s, i+1)
		}
	}
	return slices.Clip(names)
}

// SkipSpace returns the offset of the first byte at or after s[i] that is not
// JSON white space, or len(s).
func SkipSpace(s string, i int) int {
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	return i
}

// String decodes the string literal that begins with the quote at s[i] and
// returns the offset behind it. Without escapes the value is a substring of s.
// On an error next is where the scan stopped.
func String(s string, i int) (value string, next int, err error) {
	if i >= len(s) {
		return "", i, truncated.at(i)
	}
	if s[i] != '"' {
		return "", i, unexpected.at(i)
	}
	next, escaped, p := skipString(s, i+1)
	if p != fine {
		return "", next, p.at(next)
	}
	value = s[i+1 : next-1]
	if escaped {
		value = unescape(value)
	}
	return value, next, nil
}

// Skip validates the value that begins at s[i] and returns the offset behind
// it. What follows is not looked at. On an error next is where the scan stopped.
func Skip(s string, i int) (next int, err error) {
	next, p := skipValue(s, i, 0)
	if p != fine {
		return next, p.at(next)
	}
	return next, nil
}

// view is doc as a string without a copy. It is sound because the caller of
// this package does not write to doc during a call, and because no result that
// is a part of the view leaves the package as a string.
func view(doc []byte) string {
	return unsafe.String(unsafe.SliceData(doc), len(doc))
}

// problem says in what way a text is not JSON.
type problem uint8

const (
	fine problem = iota
	unexpected
	truncated
	badUTF8
	badSurrogate
	tooDeep
	trailing
	byteOrderMark
)

// at makes the error for the problem at an offset. It must not quote the text.
func (p problem) at(offset int) *fault.Error {
	switch p {
	case truncated:
		return fault.New(fault.Syntax, "unexpected end of JSON at byte %d", offset)
	case badUTF8:
		return fault.New(fault.Syntax, "invalid UTF-8 at byte %d", offset)
	case badSurrogate:
		return fault.New(fault.Syntax, "unpaired surrogate escape at byte %d", offset)
	case tooDeep:
		return fault.New(fault.Syntax, "nested more than %d deep at byte %d", MaxDepth, offset)
	case trailing:
		return fault.New(fault.Syntax, "more text after the JSON value, at byte %d", offset)
	case byteOrderMark:
		return fault.New(fault.Syntax, "byte order mark at byte %d: JSON is UTF-8 without one", offset)
	default:
		return fault.New(fault.Syntax, "invalid character at byte %d", offset)
	}
}
