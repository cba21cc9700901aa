package exec

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/fault"
)

// substitution is one variable whose references are replaced.
type substitution struct {
	index   int // its index in the environment
	name    string
	refs    []string
	between []string // the text before each reference and after the last one
}

// isWholeValue reports whether the value is a single reference without other text.
func (s substitution) isWholeValue() bool {
	return len(s.between) == 2 && s.between[0]+s.between[1] == ""
}

// render returns the value with its references replaced by secrets. verbatim is true
// if a secret inside other text has characters that may have a meaning there.
func (s substitution) render(secrets []secretref.Secret) (render string, verbatim bool,
	errs []error) {
	var filled, before strings.Builder // before contains no secrets
	for i, text := range s.between[:len(secrets)] {
		before.WriteString(text)
		secret := secrets[i].Reveal()
		encoded := percentEncode(secret)
		var reason error
		switch where := contextAfter(before.String()); {
		case secret == encoded:
		case where == urlEndUnknown:
			reason = skippableError{s.name,
				fault.New(fault.Unsupported, "the URL before the secret may have ended, "+
					"so it is unclear whether to percent-encode the secret: put the password into a "+
					"variable of its own")}
		case where == insideURL:
			secret = encoded
		case strings.Contains(secret, "\x00"):
			reason = fault.New(fault.Unsupported,
				"the secret contains a NUL byte, which a variable cannot hold")
		case !s.isWholeValue():
			verbatim = true
		}
		if reason != nil {
			ref, _ := secretref.Parse(s.refs[i])
			errs = append(errs, &secretref.Error{Source: describeVariable(s.name),
				Reference: ref.String(), Err: reason})
		}
		filled.WriteString(text + secret)
	}
	return filled.String() + s.between[len(secrets)], verbatim, errs
}

// textContext is the kind of text that a secret is inserted into.
type textContext uint8

const (
	otherText textContext = iota
	insideURL
	urlEndUnknown
)

// urlTail matches a text that ends inside a URL and captures the text after the last
// scheme. URLs with semicolons (SQL Server, DB2) have parameters that are not
// percent-encoded.
var urlTail = regexp.MustCompile(`(?s)^.*[A-Za-z][A-Za-z0-9+.-]*://([^;\s"']*)$`)

// jdbcProperty matches the start of a property after the database in a JDBC URL.
var jdbcProperty = regexp.MustCompile(`:[A-Za-z_][\w.-]*=`)

// contextAfter returns the context at the end of a text. In a query only the last
// parameter counts, since the hosts before it may be separated by commas.
func contextAfter(text string) textContext {
	match := urlTail.FindStringSubmatch(text)
	if match == nil {
		return otherText
	}
	_, query, ok := strings.Cut(match[1], "?")
	parameter := query[strings.LastIndexByte(query, '&')+1:]
	if ok && strings.ContainsAny(parameter, ",|") || !ok &&
		(strings.ContainsAny(match[1], ",|") || jdbcProperty.MatchString(match[1])) {
		return urlEndUnknown
	}
	return insideURL
}

// percentEncode encodes everything but the unreserved characters of RFC 3986, section
// 2.3. The functions of net/url encode for one part of a URL each, but the part is
// unknown here.
func percentEncode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' ||
			strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
