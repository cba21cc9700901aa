package main

import (
	"errors"
	"regexp"
	"strings"
	"unicode"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// references returns the references in a value, and the text between them. The
// error is that of [secretref.Parse] if there are none.
//
// References are only looked for inside other text when a letter or digit stands
// before the first: in front of quotes or brackets that somebody forgot to
// remove it is the whole value that is meant, and a password with quotes around
// it is a wrong password. What stands between them must not be meant as one.
func references(value string) (refs, between []string, err error) {
	_, whole := secretref.Parse(value)
	if whole == nil {
		return []string{value}, []string{"", ""}, nil
	}
	for rest := value; ; {
		start, end, found, err := ref.Find(rest)
		switch {
		case !found && marked(value):
			return nil, nil, ref.PlaceholderError()
		case !found && refs == nil:
			return nil, nil, whole
		case !found:
			between = append(between, rest)
			return refs, between, besides(between)
		case refs == nil && errors.Is(whole, secretref.ErrSyntax) && !strings.ContainsFunc(rest[:start], letterOrDigit):
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

// besides returns an error if a text that stands beside references is one too, or
// is meant as one: it would be passed on for the password that it leads to.
func besides(between []string) error {
	for _, text := range between {
		if _, err := secretref.Parse(text); err == nil || errors.Is(err, secretref.ErrSyntax) {
			return fault.New(fault.Syntax, "the text beside the references looks like one, too: write {ENC} before each of them")
		}
	}
	return nil
}

// marked reports whether a value says that a product has moved the password
// elsewhere: the command would take the mark for it.
func marked(value string) bool { return strings.Contains(strings.ToUpper(value), ref.Placeholder) }

// prefix matches the prefix of a reference, also as others encode it.
var prefix = regexp.MustCompile(`(?i)(\{|<|%7B|%3C|&lt;)ENC(\}|>|%7D|%3E|&gt;)`)

// prefixed reports whether a value can only be meant as a reference.
func prefixed(value string) bool { return marked(value) || prefix.MatchString(value) }

func letterOrDigit(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }

// holdsReference reports whether a text is a reference, or has one in it.
func holdsReference(text string) bool {
	if _, err := secretref.Parse(text); err == nil {
		return true
	}
	_, _, found, err := ref.Find(text)
	return found && err == nil
}
