package exec

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/fault"
)

// substitution is one variable that gets another value.
type substitution struct {
	index   int // its index in the environment
	name    string
	refs    []string
	between []string // the text before each reference, and behind the last
}

// isWholeValue reports whether the value is one reference and nothing else.
func (f substitution) isWholeValue() bool {
	return len(f.between) == 2 && f.between[0]+f.between[1] == ""
}

// render returns the value with the secrets in the places of the references.
// verbatim is true if one of them has characters in it that may have a meaning
// there.
func (f substitution) render(secrets []secretref.Secret) (render string, verbatim bool, errs []error) {
	var filled, before strings.Builder // before has no secrets in it
	for i, text := range f.between[:len(secrets)] {
		before.WriteString(text)
		secret := secrets[i].Reveal()
		encoded := percentEncode(secret)
		var reason error
		switch where := contextAfter(before.String()); {
		case secret == encoded:
		case where == urlEndUnknown:
			reason = skippableError{f.name, fault.New(fault.Unsupported, "it cannot be told whether the URL before the secret has ended, "+
				"and so whether to percent-encode the secret: put the password into a variable of its own")}
		case where == insideURL:
			secret = encoded
		case strings.Contains(secret, "\x00"):
			reason = fault.New(fault.Unsupported, "the secret has a NUL byte in it, which no variable can hold")
		case !f.isWholeValue():
			verbatim = true
		}
		if reason != nil {
			ref, _ := secretref.Parse(f.refs[i])
			errs = append(errs, &secretref.Error{Source: describeVariable(f.name), Reference: ref.String(), Err: reason})
		}
		filled.WriteString(text + secret)
	}
	return filled.String() + f.between[len(secrets)], verbatim, errs
}

// textContext are what kind of text a secret is written into.
type textContext uint8

const (
	otherText textContext = iota
	insideURL
	urlEndUnknown
)

// urlTail matches a text whose last word is the beginning of a URL, and what
// stands behind the last scheme. URLs with semicolons (SQL Server, DB2) have
// parameters that are not percent-encoded.
var urlTail = regexp.MustCompile(`(?s)^.*[A-Za-z][A-Za-z0-9+.-]*://([^;\s"']*)$`)

// jdbcProperty matches the beginning of a setting behind the database of a JDBC URL.
var jdbcProperty = regexp.MustCompile(`:[A-Za-z_][\w.-]*=`)

// contextAfter returns what kind of place is behind a text. In a query only the
// parameter that the text ends with counts: hosts before it may have commas
// between them.
func contextAfter(text string) textContext {
	match := urlTail.FindStringSubmatch(text)
	if match == nil {
		return otherText
	}
	_, query, ok := strings.Cut(match[1], "?")
	parameter := query[strings.LastIndexByte(query, '&')+1:]
	if ok && strings.ContainsAny(parameter, ",|") || !ok && (strings.ContainsAny(match[1], ",|") || jdbcProperty.MatchString(match[1])) {
		return urlEndUnknown
	}
	return insideURL
}

// percentEncode encodes all but the characters that no part of a URL gives a
// meaning to (RFC 3986, section 2.3): the functions of net/url know one part
// each.
func percentEncode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
