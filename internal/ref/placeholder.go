package ref

import (
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

// Placeholder marks a password that a product has moved elsewhere.
const Placeholder = "{ATL_SECURED}"

// IsPlaceholder reports whether a value is the Placeholder, in any letter case.
func IsPlaceholder(text string) bool {
	return strings.EqualFold(strings.TrimSpace(text),
		Placeholder)
}

// containsPlaceholder reports whether text contains a placeholder, or is one with
// missing or other brackets.
func containsPlaceholder(text string) bool {
	if _, found := CutPlaceholder(text); found {
		return true
	}
	bare := strings.TrimFunc(text,
		func(c rune) bool { return isInvisible(c) || strings.ContainsRune("\"'`{}[]()<>$;", c) })
	return strings.EqualFold(bare, strings.Trim(Placeholder, "{}"))
}

// CutPlaceholder returns the text before the first placeholder in text, in any
// letter case.
func CutPlaceholder(text string) (before string, found bool) {
	for at := 0; ; at++ {
		i := strings.IndexByte(text[at:], Placeholder[0])
		if i < 0 {
			return text, false
		}
		if at += i; hasPrefixFold(text[at:], Placeholder) {
			return text[:at], true
		}
	}
}

// PlaceholderError is the error for a value that is a Placeholder.
func PlaceholderError() error {
	return fault.New(fault.Unsupported,
		"%s marks a password that the product has moved into its own internal store; it cannot be read from the file: "+
			"put a secret reference there, or get the password from its origin", Placeholder)
}
