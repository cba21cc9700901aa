package jsonptr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

var tokenEscaper = strings.NewReplacer("~", "~0", "/", "~1")

// EscapeToken returns the reference token of a member name (RFC 6901 §3).
func EscapeToken(name string) string { return tokenEscaper.Replace(name) }

// IsContainer reports whether a value's JSON text is that of an object or array.
func IsContainer(value []byte) bool { return value[0] == '{' || value[0] == '[' }

// Insert returns doc, an object or array, with the string text at a valid pointer. It
// replaces a scalar, or adds members to an object. The rest of doc stays byte for byte.
// It may overwrite doc.
func Insert(doc []byte, pointer, text string) ([]byte, error) {
	value := quote(text)
	found, err := Lookup(doc, pointer)
	if err == nil {
		if IsContainer(found) {
			return nil, fmt.Errorf("the value at %q is an object or array", pointer)
		}
		start := offset(doc, found)
		return slices.Replace(doc, start, start+len(found), value...), nil
	}
	for parent := pointer; ; {
		missing := err
		slash := strings.LastIndexByte(parent, '/')
		name := quote(unescapeToken(parent[slash+1:]))
		parent = parent[:slash]
		member := slices.Concat(name, []byte(":"), value)
		if found, err = Lookup(doc, parent); err != nil {
			value = slices.Concat([]byte("{"), member, []byte("}"))
			continue
		}
		if found[0] != '{' {
			return nil, missing
		}
		before := bytes.TrimRight(found[:len(found)-1], " \t\r\n")
		if len(before) > 1 {
			member = slices.Concat([]byte(","), member)
		}
		doc = slices.Insert(doc, offset(doc, found)+len(before), member...)
		return doc, Valid(doc) // it may be nested too deep
	}
}

// offset returns the offset of part in doc. Part is a sub-slice of doc and is not empty.
func offset(doc, part []byte) int {
	i := 0
	for &doc[i] != &part[0] {
		i++
	}
	return i
}

// quote returns text as a JSON string.
func quote(text string) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string can always be encoded
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
