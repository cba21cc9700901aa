package ref

import (
	"errors"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

const (
	prefixBrace = "{ENC}"
	prefixAngle = "<ENC>"

	// No backend has names that long: longer coordinates are an attack or a file
	// pasted in the wrong place.
	maxText    = 64 << 10
	maxMembers = 64
)

// Grammar parses values. The zero Grammar knows the built-in backends; it is
// safe for concurrent use as long as Customs does not change.
type Grammar struct {
	Customs []CustomBackend
}

// Parse returns the reference in value. The error is fault.NotReference for
// plaintext and ErrEmpty for an empty value. Any other value that is not a
// reference looks like a broken one; no error quotes the value, which may be a
// password.
func (g *Grammar) Parse(value string) (Reference, error) {
	text := strings.TrimSpace(value)
	if Blank(text) {
		return Reference{}, ErrEmpty
	}
	if body, ok := CutPrefix(text); ok {
		return g.parsePrefixed(body)
	}
	if hint := cipherValueHint(text); hint != "" && !g.isCustom(text) {
		return Reference{}, fault.New(fault.Syntax, "%s", hint)
	}
	// Valid coordinates have a distinctive name, and so look like a reference.
	if !g.looksLikeReference(text) {
		return Reference{}, g.notReference(text)
	}
	if !strings.HasPrefix(text, "{") {
		return Reference{}, fault.New(fault.Syntax, "%s", lookalikeHint(text))
	}
	r, err := g.parseObject(text)
	if errors.Is(err, fault.NotReference) {
		return Reference{}, noBackendError(err)
	}
	if err != nil {
		if hint := misspeltPrefixHint(text); hint != "" {
			return Reference{}, fault.New(fault.Syntax, "%s", hint)
		}
	}
	return r, err
}

// ErrEmpty is the error for a value that is [Blank], a kind of
// [fault.NotReference].
var ErrEmpty error = fault.New(fault.NotReference, "the value is empty: is a variable not set?")

// Blank reports whether a value has no visible character, for example because a
// variable is not set or there is only a byte order mark.
func Blank(value string) bool {
	return strings.TrimFunc(value, isInvisible) == ""
}

// CutPrefix removes the prefix that marks a reference.
func CutPrefix(text string) (body string, ok bool) {
	if body, ok = strings.CutPrefix(text, prefixBrace); ok {
		return body, true
	}
	return strings.CutPrefix(text, prefixAngle)
}

// parsePrefixed parses the text after a prefix, which is never plaintext.
func (g *Grammar) parsePrefixed(body string) (Reference, error) {
	body = strings.TrimSpace(body)
	if _, again := CutPrefix(body); again {
		return Reference{}, fault.New(fault.Syntax, "the prefix is doubled")
	}
	if IsPlaceholder(body) {
		return Reference{}, PlaceholderError()
	}
	if !strings.HasPrefix(body, "{") && !strings.HasPrefix(body, "<") {
		return Reference{}, fault.New(fault.Syntax, "%s", prefixHint(body))
	}
	r, err := g.parseObject(body)
	if errors.Is(err, fault.NotReference) {
		if hint := cipherValueHint(body); hint != "" {
			return Reference{}, fault.New(fault.Syntax, "%s", hint)
		}
		return Reference{}, noBackendError(err)
	}
	return r, err
}

// ParseCoordinates parses a value that must be coordinates, because of its cipher
// class: with or without a prefix, never plaintext.
func (g *Grammar) ParseCoordinates(value string) (Reference, error) {
	text := strings.TrimSpace(value)
	if body, ok := CutPrefix(text); ok {
		return g.parsePrefixed(body)
	}
	if IsPlaceholder(text) {
		return Reference{}, PlaceholderError()
	}
	if !strings.HasPrefix(text, "{") {
		const want = "the class requires coordinates, a JSON object that begins with \"{\""
		if hint := g.encodedHint(text); hint != "" {
			return Reference{}, fault.New(fault.Syntax, want+"; %s", hint)
		}
		return Reference{}, fault.New(fault.Syntax, want)
	}
	return g.parsePrefixed(text)
}

// notReference returns why a value without coordinates is refused, or
// fault.NotReference if it is plaintext.
func (g *Grammar) notReference(text string) error {
	if containsPlaceholder(text) {
		return PlaceholderError()
	}
	if hint := misspeltPrefixHint(text); hint != "" {
		return fault.New(fault.Syntax, "%s", hint)
	}
	if hint := otherToolHint(text); hint != "" {
		return fault.New(fault.Unsupported, "%s", hint)
	}
	if hint := g.encodedHint(text); hint != "" {
		return fault.New(fault.Syntax, "%s%s", lookalikeIntro, hint)
	}
	return fault.NotReference
}
