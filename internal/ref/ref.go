// Package coord knows the grammar of secret references: which values are
// meant as one, which backend their coordinates name, and their canonical
// text. It touches neither network nor environment.
package ref

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Kind is the backend that a reference names.
type Kind uint8

// The kinds of reference. The zero Kind is none.
const (
	AWS Kind = iota + 1
	Vault
	Keyring
	Custom
	CipherFile // files of a product's own cipher class; no value has this form
)

// String returns the name that events, logs and messages use.
func (k Kind) String() string {
	switch k {
	case AWS:
		return "aws"
	case Vault:
		return "vault"
	case Keyring:
		return "keyring"
	case Custom:
		return "custom"
	case CipherFile:
		return "sealed"
	}
	return "none"
}

// The values of authenticationType.
const (
	TokenAuth      = "TOKEN"
	KubernetesAuth = "KUBERNETES"
)

// MaxName is the longest name of a stored secret, in bytes.
const MaxName = 1024

// Reference is a parsed reference. It is comparable; the fields that do not
// belong to its Kind are empty.
type Reference struct {
	Kind Kind

	Region, SecretID, Pointer, EndpointOverride string // AWS

	Mount, Path, Key, Endpoint string // Vault
	Auth                       string // TokenAuth or KubernetesAuth

	Name string // Keyring

	Class, Text string // Custom, Sealed
	Dir         string // Sealed: where relative paths start
}

// Target is what one fetch brings: references with equal groups are answered
// by the same secret.
type Target struct {
	Kind              Kind
	Endpoint          string
	Region, Secret    string // AWS
	Auth, Mount, Path string // Vault
	Name              string // Keyring
	Class, Text       string // Custom, Sealed
	Dir               string // Sealed
}

// Target returns what has to be fetched for r.
func (r Reference) Target() Target {
	switch r.Kind {
	case AWS:
		return Target{Kind: AWS, Endpoint: strings.TrimSuffix(r.EndpointOverride, "/"), Region: r.Region, Secret: r.SecretID}
	case Vault:
		return Target{Kind: Vault, Endpoint: strings.TrimSuffix(r.Endpoint, "/"), Auth: r.Auth, Mount: r.Mount, Path: r.Path}
	case Keyring:
		return Target{Kind: Keyring, Name: r.Name}
	default:
		return Target{Kind: r.Kind, Class: r.Class, Text: r.Text, Dir: r.Dir}
	}
}

// Reference returns the reference to everything that g fetches, for messages.
func (g Target) Reference() string {
	switch g.Kind {
	case AWS:
		return Reference{Kind: AWS, Region: g.Region, SecretID: g.Secret, EndpointOverride: g.Endpoint}.String()
	case Vault:
		return Reference{Kind: Vault, Mount: g.Mount, Path: g.Path, Endpoint: g.Endpoint, Auth: g.Auth}.String()
	case Keyring:
		return Reference{Kind: Keyring, Name: g.Name}.String()
	default:
		return ""
	}
}

// String returns the canonical text, which parses to r again. It is printable:
// every character that moves the cursor, hides text or turns its direction is
// written as a JSON escape.
func (r Reference) String() string {
	b := make([]byte, 0, 160)
	b = append(b, prefixBrace...)
	switch r.Kind {
	case AWS:
		b = appendMember(b, fieldRegion, r.Region)
		b = appendMember(b, fieldSecretID, r.SecretID)
		b = appendMember(b, fieldSecretPointer, r.Pointer)
		b = appendMember(b, fieldEndpointOverride, r.EndpointOverride)
	case Vault:
		b = appendMember(b, fieldMount, r.Mount)
		b = appendMember(b, fieldPath, r.Path)
		b = appendMember(b, fieldKey, r.Key)
		b = appendMember(b, fieldEndpoint, r.Endpoint)
		if r.Auth != TokenAuth {
			b = appendMember(b, fieldAuthenticationType, r.Auth)
		}
	case Keyring:
		b = appendMember(b, fieldKeyring, r.Name)
	default:
		return string(append(b, printableJSON(r.Text)...))
	}
	if len(b) == len(prefixBrace) {
		b = append(b, '{')
	}
	return string(append(b, '}'))
}

// appendMember appends one member and the brace or comma before it; an empty
// value means that the member is absent.
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

// printableJSON returns JSON text with the same meaning in which every character
// is printable: escaped in strings, a blank between them. Other text is made
// printable in the same way.
func printableJSON(text string) string {
	if !strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) && utf8.ValidString(text) {
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
