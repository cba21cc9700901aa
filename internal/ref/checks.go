package ref

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed74218947/secretref/internal/endpoint"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/jsonptr"
)

func checkText(name, value string) error {
	if isVisibleASCII(value) {
		return nil
	}
	if !utf8.ValidString(value) {
		return fault.New(fault.Syntax, "field %q is not valid UTF-8", name)
	}
	if strings.ContainsFunc(value, unicode.IsControl) {
		return fault.New(fault.Syntax, "field %q contains a control character", name)
	}
	if strings.TrimSpace(value) == "" {
		return fault.New(fault.Syntax, "field %q is blank", name)
	}
	return nil
}

// isVisibleASCII reports whether s has only visible ASCII characters, as nearly
// every field does.
func isVisibleASCII(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// isRegionID reports whether s is a valid host name label.
func isRegionID(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-'
}

// checkRegion refuses characters with a meaning in URLs, since the region becomes
// part of a host name.
func checkRegion(name, value string) error {
	if isRegionID(value) {
		return nil
	}
	if better := strings.ToLower(strings.TrimSpace(value)); isRegionID(better) &&
		strings.Count(better, "-") >= 2 && len(better) <= 20 {
		return fault.New(fault.Syntax, "field %q is not a region ID (did you mean %q?)", name, better)
	}
	return fault.New(fault.Syntax, "field %q is not a region ID such as \"eu-west-1\"", name)
}

func checkPointer(name, value string) error {
	err := jsonptr.ValidPointer(value)
	if err == nil {
		return nil
	}
	if value[0] != '/' && jsonptr.ValidPointer("/"+value) == nil && safeToPrint(value) {
		return fault.New(fault.Syntax,
			"field %q: a pointer begins with a slash (did you mean %q?)", name, "/"+value)
	}
	return fault.New(fault.Syntax,
		"field %q is not a JSON pointer (RFC 6901): it begins with a slash, and \"~\" is written \"~0\"", name)
}

// checkEndpoint also accepts the path of a Unix socket, of a Vault Agent or Proxy.
func checkEndpoint(name, value string) error {
	if err := checkText(name, value); err != nil {
		return err
	}
	if err := endpoint.CheckOrSocket(value); err != nil {
		return fault.New(fault.Syntax, "field %q %s", name, err)
	}
	return nil
}

func checkURL(name, value string) error {
	if err := checkText(name, value); err != nil {
		return err
	}
	if err := endpoint.Check(value); err != nil {
		return fault.New(fault.Syntax, "field %q %s", name, err)
	}
	return nil
}

// checkSegments refuses path segments that would read another secret than the one
// that the policy names.
func checkSegments(name, value string) error {
	if err := checkText(name, value); err != nil {
		return err
	}
	if strings.Trim(value, "/") != value {
		return fault.New(fault.Syntax, "field %q must not begin or end with a slash", name)
	}
	for segment := range strings.SplitSeq(value, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fault.New(fault.Syntax, "field %q has an empty, \".\" or \"..\" segment", name)
		}
	}
	return nil
}

func checkAuth(name, value string) error {
	switch value {
	case TokenAuth, KubernetesAuth:
		return nil
	}
	for _, want := range []string{TokenAuth, KubernetesAuth} {
		if Near(strings.ToUpper(strings.TrimSpace(value)), want, 2) {
			return fault.New(fault.Syntax,
				"field %q must be %q or %q (did you mean %q?)", name, TokenAuth, KubernetesAuth, want)
		}
	}
	return fault.New(fault.Syntax, "field %q must be %q or %q", name, TokenAuth, KubernetesAuth)
}

func checkName(name, value string) error {
	if !utf8.ValidString(value) {
		return fault.New(fault.Syntax, "field %q is not valid UTF-8", name)
	}
	if len(value) > MaxName {
		return fault.New(fault.Syntax, "field %q is longer than %d bytes", name, MaxName)
	}
	return nil
}
