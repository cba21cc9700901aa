// Package jsonptr reads one value from a JSON document (RFC 8259) in a single strict
// pass, without building a tree.
//
// [Lookup] and [LookupScalar] follow a JSON Pointer (RFC 6901) and validate the whole
// document, so that a result never depends on text that other parsers read
// differently. [Valid] only validates. [String], [Skip] and [SkipSpace] read JSON inside
// other text.
//
// Strict means: UTF-8 without a byte order mark, no unpaired surrogate escapes, no text
// after the value, at most [MaxDepth] nested containers. Of several members with one
// name the last wins, also on the way to the value.
//
// A document may be a secret, and errors contain no part of it: for a malformed
// document (fault.Syntax) they name an offset, for a missing value (fault.Pointer) the
// pointer and the kinds of values on its way.
package jsonptr

import (
	"slices"
	"strings"
	"unsafe"

	"github.com/seed74218947/secretref/internal/fault"
)

// MaxDepth limits the nesting of arrays and objects.
const MaxDepth = 10_000

// Valid returns an error unless doc is exactly one JSON value.
func Valid(doc []byte) error {
	s := view(doc)
	next, p := document(s, nil)
	if p != fine {
		return p.at(next)
	}
	return nil
}

// Lookup returns the text of the value at pointer, without white space around it. The
// result is a sub-slice of doc.
func Lookup(doc []byte, pointer string) ([]byte, error) {
	f, err := find(view(doc), pointer)
	if err != nil {
		return nil, err
	}
	return doc[f.start:f.end:f.end], nil
}

// LookupScalar returns the value at pointer as text: a string unescaped, a number
// exactly as written, true or false. The error for any other value is fault.Pointer.
// The result does not share memory with doc.
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

// LookupScalarString is [LookupScalar] for a string. The result may be a substring of
// doc, which then stays in memory.
func LookupScalarString(doc, pointer string) (string, error) {
	text, err := scalar(doc, pointer)
	return text.value, err
}

// MemberNames returns the member names of the object at pointer, unescaped, each once,
// in document order. It returns nil if there is no such object.
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

// String decodes the string literal whose opening quote is s[i] and returns the offset
// after it. Without escapes the value is a substring of s. On an error, next is the
// offset at which the scan stopped.
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

// Skip validates the value at s[i] and returns the offset after it. It does not read
// the text after it. On an error, next is the offset at which the scan stopped.
func Skip(s string, i int) (next int, err error) {
	next, p := skipValue(s, i, 0)
	if p != fine {
		return next, p.at(next)
	}
	return next, nil
}

// view returns doc as a string without copying it. This is safe because callers do not
// write to doc during a call, and because no part of the view is returned as a
// string.
func view(doc []byte) string {
	return unsafe.String(unsafe.SliceData(doc), len(doc))
}

// problem is why a text is not JSON.
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

// at returns the error for the problem at an offset. It must not quote the text.
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
