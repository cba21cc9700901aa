package jsonptr_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The oracle is a slow and simple implementation of the package on encoding/json's token
// stream. It checks invalid UTF-8 and unpaired surrogates, which encoding/json accepts,
// separately.

func strictlyValid(doc []byte) bool {
	return json.Valid(doc) && utf8.Valid(doc) && !hasUnpairedSurrogate(doc)
}

// hasUnpairedSurrogate checks the escapes of a document that is otherwise valid, so that
// every backslash begins a complete escape.
func hasUnpairedSurrogate(doc []byte) bool {
	unit := func(i int) (rune, bool) {
		if i+6 > len(doc) || doc[i] != '\\' || doc[i+1] != 'u' {
			return 0, false
		}
		n, err := strconv.ParseUint(string(doc[i+2:i+6]), 16, 16)
		return rune(n), err == nil && utf16.IsSurrogate(rune(n))
	}
	for i := 0; i < len(doc); i++ {
		if doc[i] != '\\' {
			continue
		}
		if high, ok := unit(i); ok {
			low, _ := unit(i + 6)
			if utf16.DecodeRune(high, low) == utf8.RuneError {
				return true
			}
			i += 6
		}
		i++
	}
	return false
}

var pointerSyntax = regexp.MustCompile(`^(/([^/~]|~[01])*)*$`)

func validPointer(p string) bool {
	return utf8.ValidString(p) && pointerSyntax.MatchString(p)
}

func tokens(p string) []string {
	if p == "" {
		return nil
	}
	all := strings.Split(p[1:], "/")
	for i, token := range all {
		all[i] = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	return all
}

// node is a value of a document tree.
type node struct {
	text     string
	scalar   any // string, json.Number, bool or nil
	members  map[string]*node
	elements []*node
}

func parse(doc []byte) (*node, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	return parseNode(dec, doc)
}

func parseNode(dec *json.Decoder, doc []byte) (*node, error) {
	before := dec.InputOffset()
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	gap := doc[before:dec.InputOffset()]
	start := int(before) + len(gap) - len(bytes.TrimLeft(gap, " \t\r\n,:"))
	n := &node{}
	switch token {
	case json.Delim('{'):
		n.members = map[string]*node{}
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				return nil, err
			}
			if n.members[name.(string)], err = parseNode(dec, doc); err != nil {
				return nil, err
			}
		}
		_, err = dec.Token()
	case json.Delim('['):
		n.elements = []*node{}
		for dec.More() {
			element, err := parseNode(dec, doc)
			if err != nil {
				return nil, err
			}
			n.elements = append(n.elements, element)
		}
		_, err = dec.Token()
	default:
		n.scalar = token
	}
	n.text = string(doc[start:dec.InputOffset()])
	return n, err
}

var indexSyntax = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)

// follow returns nil if there is no value at the pointer.
func (n *node) follow(pointer string) *node {
	for _, token := range tokens(pointer) {
		switch {
		case n == nil:
			return nil
		case n.members != nil:
			n = n.members[token]
		case n.elements != nil && indexSyntax.MatchString(token):
			i, err := strconv.Atoi(token)
			if err != nil || i >= len(n.elements) {
				return nil
			}
			n = n.elements[i]
		default:
			return nil
		}
	}
	return n
}

func (n *node) scalarText() (string, bool) {
	switch v := n.scalar.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}
