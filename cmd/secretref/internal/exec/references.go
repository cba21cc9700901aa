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

// findReferences returns the references in a value, and the text between them. The
// error is that of [secretref.Parse] if there are none.
//
// References are only looked for inside other text when a letter or digit stands
// before the first: in front of quotes or brackets that somebody forgot to
// remove it is the whole value that is meant, and a password with quotes around
// it is a wrong password. What stands between them must not be meant as one.
func findReferences(value string) (refs, between []string, err error) {
	_, whole := secretref.Parse(value)
	if whole == nil {
		return []string{value}, []string{"", ""}, nil
	}
	for rest := value; ; {
		start, end, found, err := ref.Find(rest)
		switch {
		case !found && hasPlaceholder(value):
			return nil, nil, ref.PlaceholderFault()
		case !found && refs == nil:
			return nil, nil, whole
		case !found:
			between = append(between, rest)
			return refs, between, checkSurroundings(between)
		case refs == nil && errors.Is(whole, secretref.ErrSyntax) && !strings.ContainsFunc(rest[:start], isLetterOrDigit):
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

// checkSurroundings returns an error if a text that stands beside references is one too, or
// is meant as one: it would be passed on for the password that it leads to.
func checkSurroundings(between []string) error {
	for _, text := range between {
		if _, err := secretref.Parse(text); err == nil || errors.Is(err, secretref.ErrSyntax) {
			return fault.New(fault.Syntax, "the text beside the references looks like one, too: write {ENC} before each of them")
		}
	}
	return nil
}

// hasPlaceholder reports whether a value says that a product has moved the password
// elsewhere: the command would take the mark for it.
func hasPlaceholder(value string) bool {
	return strings.Contains(strings.ToUpper(value), ref.Placeholder)
}

// encPrefix matches the prefix of a reference, also as others encode it.
var encPrefix = regexp.MustCompile(`(?i)(\{|<|%7B|%3C|&lt;)ENC(\}|>|%7D|%3E|&gt;)`)

// hasEncPrefix reports whether a value can only be meant as a reference.
func hasEncPrefix(value string) bool { return hasPlaceholder(value) || encPrefix.MatchString(value) }

func isLetterOrDigit(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }

// containsReference reports whether a text is a reference, or has one in it.
func containsReference(text string) bool {
	if _, err := secretref.Parse(text); err == nil {
		return true
	}
	_, _, found, err := ref.Find(text)
	return found && err == nil
}
