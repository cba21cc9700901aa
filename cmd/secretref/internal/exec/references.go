package exec

import (
	"errors"
	"regexp"
	"strings"
	"unicode"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// findReferences returns the references in a value and the text around them. If there
// are none, the error is that of [secretref.Parse].
//
// References inside other text count only after a letter or digit. After mere quotes
// or brackets the whole value is probably meant as a reference, and a password in
// quotes would be a wrong password. The text around references must not look like a
// reference.
func findReferences(value string) (refs, between []string, err error) {
	_, whole := secretref.Parse(value)
	if whole == nil {
		return []string{value}, []string{"", ""}, nil
	}
	for rest := value; ; {
		start, end, found, err := ref.Find(rest)
		switch {
		case !found && hasPlaceholder(value):
			return nil, nil, ref.PlaceholderError()
		case !found && refs == nil:
			return nil, nil, whole
		case !found:
			between = append(between, rest)
			return refs, between, checkSurroundings(between)
		case refs == nil && errors.Is(whole, secretref.ErrSyntax) &&
			!strings.ContainsFunc(rest[:start], isLetterOrDigit):
			return nil, nil, whole
		case err != nil:
			return nil, nil, err
		}
		if _, err := secretref.Parse(rest[start:end]); err != nil {
			return nil, nil, err
		}
		refs, between = append(refs, rest[start:end]), append(between, rest[:start])
		rest = rest[end:]
	}
}

// checkSurroundings returns an error if text next to references is or looks like a
// reference too: the command would get that text instead of a secret.
func checkSurroundings(between []string) error {
	for _, text := range between {
		if _, err := secretref.Parse(text); err == nil || errors.Is(err, secretref.ErrSyntax) {
			return fault.New(fault.Syntax,
				"the text next to the references looks like a reference too: write {ENC} before "+
					"each of them")
		}
	}
	return nil
}

// hasPlaceholder reports whether a value contains the placeholder of a product that
// has moved the password elsewhere. The command would use it as the password.
func hasPlaceholder(value string) bool {
	return strings.Contains(strings.ToUpper(value), ref.Placeholder)
}

// encPrefix matches the prefix of a reference, also in percent or XML encoding.
var encPrefix = regexp.MustCompile(`(?i)(\{|<|%7B|%3C|&lt;)ENC(\}|>|%7D|%3E|&gt;)`)

// hasEncPrefix reports whether a value can only be meant as a reference.
func hasEncPrefix(value string) bool {
	return hasPlaceholder(value) ||
		encPrefix.MatchString(value)
}

func isLetterOrDigit(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }

// containsReference reports whether a text is or contains a reference.
func containsReference(text string) bool {
	if _, err := secretref.Parse(text); err == nil {
		return true
	}
	_, _, found, err := ref.Find(text)
	return found && err == nil
}
