// Package ref implements the grammar of secret references: which values look
// like one, which backend their coordinates name, and their canonical text. It
// uses neither network nor environment.
//
// A new backend is added in backends.go: an entry in the table, with its fields,
// next to a Kind and the members of [Reference] and [Target] that hold them.
// Parsing, printing, validation, "did you mean" and the detection of broken
// references follow from the table.
package ref

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Kind is the kind of backend that a reference names.
type Kind uint8

// The kinds of references. The zero Kind means none.
const (
	AWS Kind = iota + 1
	Vault
	Keyring
	Custom
	CipherFile // files of a product's own cipher class; never parsed from a value
)

// String returns the name of k in events, logs and messages.
func (k Kind) String() string {
	if k == 0 || int(k) >= len(backends) {
		return "none"
	}
	return backends[k].id
}

// The values of authenticationType.
const (
	TokenAuth      = "TOKEN"
	KubernetesAuth = "KUBERNETES"
)

// MaxName limits the name of a stored secret, in bytes.
const MaxName = 1024

// Reference is a parsed reference. It is comparable. Fields that do not belong
// to its Kind are empty.
type Reference struct {
	Kind Kind

	Region, SecretID, Pointer, EndpointOverride string // AWS

	Mount, Path, Key, Endpoint string // Vault
	Auth                       string // TokenAuth or KubernetesAuth

	Name string // Keyring

	Class, Text string // Custom, CipherFile
	Dir         string // CipherFile: base of relative paths
}

// String returns the canonical text, which parses to r again. It is printable:
// characters that move the cursor, are invisible or change the direction of text
// are written as JSON escapes.
func (r Reference) String() string {
	b := make([]byte, 0, 160)
	b = append(b, prefixBrace...)
	if !r.Kind.hasFields() {
		return string(append(b, printableJSON(r.Text)...))
	}
	values := backends[r.Kind].values(r)
	for i, f := range backends[r.Kind].fields {
		if values[i] != f.standard {
			b = appendMember(b, f.name, values[i])
		}
	}
	if len(b) == len(prefixBrace) {
		b = append(b, '{')
	}
	return string(append(b, '}'))
}

// appendMember appends one member and the brace or comma before it. An empty
// value means that there is no such member.
func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	if len(b) == len(prefixBrace) {
		b = append(b, '{')
	} else {
		b = append(b, ',')
	}
	b = appendQuoted(b, name)
	b = append(b, ':')
	return appendQuoted(b, value)
}

// appendQuoted appends s as a JSON string in its shortest printable form.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for _, c := range s {
		if c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = appendPrintable(b, c)
	}
	return append(b, '"')
}

// appendPrintable appends c, or its JSON escape if it is not printable.
func appendPrintable(b []byte, c rune) []byte {
	const hex = "0123456789abcdef"
	if unicode.IsPrint(c) {
		return utf8.AppendRune(b, c)
	}
	for _, unit := range utf16.AppendRune(nil, c) {
		b = append(b, '\\', 'u', hex[unit>>12], hex[unit>>8&15], hex[unit>>4&15], hex[unit&15])
	}
	return b
}

// printableJSON returns JSON text with the same meaning whose characters are all
// printable: others are escaped in strings and replaced by a blank elsewhere.
// Text that is not JSON is made printable in the same way.
func printableJSON(text string) string {
	if !strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) &&
		utf8.ValidString(text) {
		return text
	}
	var b []byte
	quoted, escaped := false, false
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = quoted
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '\n' || c == '\r' || c == '\t'):
			c = ' '
		}
		b = appendPrintable(b, c)
	}
	return string(b)
}
