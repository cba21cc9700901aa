// Package jdbc translates JDBC URLs to data sources of Go drivers, see [Source], and
// masks the passwords in them, see [Mask].
package jdbc

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
)

const masked = "[redacted]"

// Mask returns a JDBC URL with its passwords replaced, for logs. It also masks parts
// that it cannot parse.
func Mask(jdbcURL string) string {
	s := maskUserInfo(jdbcURL)
	// The first of the two separates the parameters; the other may be part of a
	// password.
	at := strings.IndexAny(s, "?;")
	if at < 0 {
		return maskHosts(s)
	}
	separator := byte(';')
	if s[at] == '?' {
		separator = '&'
	}
	var b strings.Builder
	b.WriteString(maskHosts(s[:at]))
	secret := secretValue(s[:at]) >= 0 // whether the last part written is one
	if secret && strings.Count(s[:at], "(") > strings.Count(s[:at], ")") {
		b.WriteString(masked) // it contains the separator
		return b.String()
	}
	secret = secret && !strings.Contains(s[:at], "(")
	for at < len(s) {
		b.WriteByte(s[at])
		s = s[at+1:]
		at = parameterEnd(s, separator)
		p := s[:at]
		if setsPassword(p) {
			// A statement can contain escaped separators, so that its end is unknown.
			b.WriteString(masked)
			break
		}
		if name, _, named := strings.Cut(p, "="); secret && trim(p) != "" &&
			(!named || trim(name) == "") {
			p = masked // the rest of a secret that contains a separator
		} else {
			secret = secretValue(p) >= 0
		}
		b.WriteString(maskParameter(p))
	}
	return b.String()
}

// parameterEnd returns the end of the first parameter of s.
func parameterEnd(s string, separator byte) int {
	start := 0
	// SQL Server has a value with a separator in braces, in which }} means }. To be
	// safe, a brace elsewhere in a secret counts as well.
	name, value, _ := strings.Cut(cutAt(s, ";"), "=")
	brace := strings.IndexByte(value, '{')
	if separator == ';' && brace >= 0 && (trim(value[:brace]) == "" || secretName(name)) {
		start = len(name) + 1 + brace + 1
		for {
			n := strings.IndexByte(s[start:], '}')
			if n < 0 {
				return len(s)
			}
			if start += n + 1; !strings.HasPrefix(s[start:], "}") {
				break
			}
			start++
		}
	}
	if n := strings.IndexByte(s[start:], separator); n >= 0 {
		return start + n
	}
	return len(s)
}

// setsPassword reports whether a parameter has a statement that sets a password, as in
// H2's INIT=CREATE USER x PASSWORD 'y'.
func setsPassword(s string) bool {
	s = strings.ToLower(s)
	if plain, err := url.QueryUnescape(s); err == nil {
		s = plain
	}
	for _, words := range []string{"password '", "password'", `password "`, `password"`,
		"identified by"} {
		if strings.Contains(s, words) {
			return true
		}
	}
	return false
}

// maskParameter masks s after the name of a secret.
func maskParameter(s string) string {
	if value := secretValue(s); value >= 0 && value < len(s) {
		return s[:value] + masked
	}
	return s
}

// secretValue returns the offset of the value of the first secret in s, or -1.
func secretValue(s string) int {
	for eq := range len(s) {
		if s[eq] != '=' {
			continue
		}
		name := strings.TrimSpace(s[:eq])
		if secretName(name[strings.LastIndexAny(name, "?&;,( =")+1:]) {
			return eq + 1
		}
	}
	return -1
}

// secretName reports whether a parameter of that name may be a secret. A name that no
// driver uses is judged by its words.
func secretName(name string) bool {
	if len(name) < len("pw") {
		return false
	}
	if plain, err := url.QueryUnescape(name); err == nil {
		name = plain
	}
	if !isASCII(name) {
		return true // no driver has such a name, but it can look like one
	}
	name = strings.Map(func(c rune) rune {
		if strings.ContainsRune("_-. \t", c) {
			return -1
		}
		return unicode.ToLower(unicode.ToUpper(c)) // as Java compares names
	}, name)
	if slices.Contains(noSecrets, name) {
		return false
	}
	for _, word := range []string{"pass", "pwd", "secret", "token", "key", "credential", "jwt"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return name == "pw"
}

// noSecrets are options of the drivers whose names look like secrets, in the form that
// secretName compares.
var noSecrets = []string{
	// org.postgresql.Driver
	"sslkey", "sslpasswordcallback", "pemkeyalgorithm",
	// Connector/J and MariaDB's driver
	"serverrsapublickeyfile", "allowpublickeyretrieval", "passwordcharacterencoding",
	"disconnectonexpiredpasswords",
	"trustcertificatekeystoreurl", "trustcertificatekeystoretype", "clientcertificatekeystoreurl",
	"clientcertificatekeystoretype",
	"fallbacktosystemkeystore", "keystoreprovider", "keymanagerfactoryprovider", "idtokenfile",
	"xdevapisslkeystore", "xdevapisslkeystoretype",
	"xdevapifallbacktosystemkeystore", "compensateonduplicatekeyupdatecounts",
	"dontcheckonduplicatekeyupdateinsql",
	"keystore", "keystoretype",
	// Microsoft's
	"clientkey", "keystoreauthentication", "keystoreprincipalid", "keystorelocation",
	"keyvaultproviderclientid", "accesstokencallbackclass",
}

// maskHosts masks the secrets in MySQL's forms of a host, (name=value)(…) and
// (name=value,…), and in parameters after the name of the database.
func maskHosts(s string) string {
	var b strings.Builder
	parens := false
	for {
		value := secretValue(s)
		if value < 0 || value == len(s) {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:value])
		b.WriteString(masked)
		if parens = parens || strings.Contains(s[:value], "("); !parens {
			return b.String()
		}
		s = s[value+hostValueEnd(s[value:]):]
	}
}

// hostValueEnd returns the end of a value: the offset of its closing parenthesis, or
// of a comma before another name.
func hostValueEnd(s string) int {
	for i := range len(s) {
		switch rest := s[i+1:]; s[i] {
		case ')':
			if rest == "" || strings.ContainsRune("(),/", rune(rest[0])) {
				return i
			}
		case ',':
			if next := strings.IndexAny(rest, "=,)"); next >= 0 && rest[next] == '=' {
				return i
			}
		}
	}
	return len(s)
}

// maskUserInfo masks user:password@host after ://, and user/password@ after the name
// of the driver.
func maskUserInfo(s string) string {
	start, at := userInfo(s)
	if start >= at {
		return s
	}
	i := strings.IndexAny(s[start:at], ":/")
	if value := secretValue(s[start:at]); value >= 0 {
		// The @ may be in a parameter, or in a password that looks like one.
		if hasParameters := strings.ContainsAny(s[start:start+value], "?;#"); i < 0 ||
			hasParameters && !strings.HasSuffix(s[:start], "://") {
			i = value
		}
		return s[:start+min(i+1, value)] + masked
	}
	if i >= 0 {
		return s[:start+i+1] + masked + s[at:]
	}
	return s
}

// userInfo returns the offsets of the user info and of the @ after it.
func userInfo(s string) (start, at int) {
	at = strings.LastIndexByte(s, '@')
	scheme := strings.Index(s, "://")
	if driver := afterDriver(s); scheme < 0 ||
		scheme > driver && strings.Contains(s[driver:scheme], "@") || oracle(s) {
		if strings.HasPrefix(s[driver:], "@") {
			return driver, driver
		}
		return driver, at
	}
	start = scheme + len("://")
	// An @ among the parameters may be part of a user name. It ends a user info if
	// there are no parameters before it, or if the text before them is not host and
	// port, because a password contains ? or ;.
	hosts := cutAt(s[start:], "?;")
	before := strings.LastIndexByte(hosts, '@')
	if at >= 0 && plainHosts(cutAt(hosts[before+1:], "/")) &&
		strings.Contains(s[start+len(hosts):max(at, start+len(hosts))], "=") {
		at = start + before
	}
	return start, at
}

func oracle(s string) bool {
	const prefix = "jdbc:oracle:"
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// afterDriver returns the offset of the driver's own part of a URL: after jdbc:name:,
// for Oracle after jdbc:oracle:thin:.
func afterDriver(s string) int {
	colons := 2
	if len(s) < len("jdbc:") || !strings.EqualFold(s[:len("jdbc:")], "jdbc:") {
		return len(s) - len(strings.TrimLeft(s, "/"))
	}
	if oracle(s) {
		colons = 3
	}
	i := 0
	for range colons {
		n := strings.IndexByte(s[i:], ':')
		if n < 0 {
			return i
		}
		i += n + 1
	}
	return i
}

// plainHosts reports whether s is a list of host:port, or MySQL's form in
// parentheses.
func plainHosts(s string) bool {
	if strings.HasPrefix(s, "(") || strings.HasPrefix(strings.ToLower(s), "address=(") {
		return true
	}
	for host := range strings.SplitSeq(s, ",") {
		if strings.HasPrefix(host, "[") {
			host = host[strings.IndexByte(host, ']')+1:] // IPv6
		}
		if _, port, ok := strings.Cut(host, ":"); ok &&
			(port == "" || strings.Trim(port, "0123456789") != "") {
			return false
		}
	}
	return true
}

func cutAt(s, chars string) string {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i]
	}
	return s
}
