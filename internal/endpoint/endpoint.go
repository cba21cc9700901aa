// Package endpoint parses the base URLs of secret stores. A host has many spellings
// that lead to the same machine (letter case, Unicode, octal and short IPv4
// addresses). This package accepts or derives a single one, which is compared, passed
// to AllowEndpoint and dialed.
package endpoint

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Parse returns the URL of an endpoint, with its host in the spelling of [Host]. The
// text of its error continues a sentence that begins with the name of the endpoint
// ("contains a space"). It never quotes user info.
func Parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("is not a URL") // url.Error quotes the text
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("is not an http:// or https:// URL")
	}
	switch {
	case strings.Contains(text, "@"): // in the path, too: a password may hold a slash
		return nil, errors.New("contains user info: credentials do not belong there")
	case strings.ContainsAny(text, "?#"):
		return nil, errors.New("contains a query or a fragment")
	case strings.ContainsAny(text, " \\"):
		return nil, errors.New("contains a space or a backslash")
	}
	if u.Host, err = Host(u); err != nil {
		return nil, err
	}
	if err := CheckPath(u); err != nil {
		return nil, err
	}
	return u, nil
}

// Check is Parse for callers that need no URL. It does not allocate for the usual
// spelling.
func Check(text string) error {
	if isPlain(text) {
		return nil
	}
	_, err := Parse(text)
	return err
}

// isPlain reports whether text is an endpoint in the usual spelling: a host name in
// lower case, an optional port, and a path without unusual characters.
func isPlain(text string) bool {
	rest, ok := strings.CutPrefix(text, "https://")
	if !ok {
		rest, ok = strings.CutPrefix(text, "http://")
	}
	if !ok {
		return false
	}
	host, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	name, port, hasPort := strings.Cut(host, ":")
	return isName(name) && (!hasPort || isPort(port)) && isPlainPath(path) && checkPath(path) == nil
}

func isPlainPath(path string) bool {
	for i := range len(path) {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '/', c == '-', c == '.', c == '_', c == '~':
		default:
			return false
		}
	}
	return true
}

// Host returns the host and the port of u in the only spelling in which hosts are
// compared and dialed: ASCII in lower case, IP addresses in their usual form. A host
// that systems interpret in different ways is an error: an address with a zone, an
// IPv4 address that is not four decimal numbers, a character that names do not have. A
// host that is not ASCII is an error as well, since two texts that look alike may lead
// to different machines; if net/http would dial an ASCII name for it, the error
// suggests that name.
func Host(u *url.URL) (string, error) {
	host, port, hasPort := u.Host, "", false
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 {
			return "", errors.New("is not a URL")
		}
		host, port, hasPort = host[:end+1], strings.TrimPrefix(host[end+1:], ":"), end+1 < len(host)
	} else {
		host, port, hasPort = strings.Cut(host, ":")
	}
	name, err := canonical(host)
	if err != nil {
		return "", err
	}
	if hasPort && !isPort(port) {
		return "", errors.New("has a port that is not a number from 1 to 65535")
	}
	if name == host {
		return u.Host, nil
	}
	if hasPort {
		name += ":" + port
	}
	return name, nil
}

func canonical(host string) (string, error) {
	if host == "" {
		return "", errors.New("names no host")
	}
	if literal, ok := strings.CutPrefix(host, "["); ok {
		return canonicalIPv6(strings.TrimSuffix(literal, "]"))
	}
	if !isASCII(host) {
		return "", notASCIIError(host)
	}
	host = strings.ToLower(host)
	switch {
	case isName(host):
		return host, nil
	case endsInNumber(host):
		return "", errors.New("has an IP address as its host that is not four decimal numbers " +
			"without leading zeros: systems interpret it in different ways")
	}
	return "", errors.New("has a host that is neither a name nor an IP address")
}

func canonicalIPv6(literal string) (string, error) {
	addr, err := netip.ParseAddr(literal)
	switch {
	case err != nil || !addr.Is6():
		return "", errors.New("has brackets around text that is not an IPv6 address")
	case addr.Zone() != "":
		return "", errors.New("has an IPv6 address with a zone: use an address without one")
	case addr.Is4In6():
		return addr.Unmap().String(), nil // dialed over IPv4
	}
	return "[" + addr.String() + "]", nil
}

// notASCIIError suggests the name that net/http would dial, which uses the same IDNA
// profile.
func notASCIIError(host string) error {
	ascii, err := idna.Lookup.ToASCII(host)
	if err != nil || !isName(ascii) {
		return errors.New("has a host that is not ASCII")
	}
	return fmt.Errorf("has a host that is not ASCII (did you mean %q?)", ascii)
}

// isName reports whether host is a DNS name in lower case or an IPv4 address.
// Underscores occur in the names of containers. If the last label is a number, the
// host is an address, which some resolvers accept in octal, in hexadecimal and with
// fewer than four parts.
func isName(host string) bool {
	label := 0
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			label++
		case c == '.' && label > 0:
			label = 0
		default:
			return false
		}
	}
	if host == "" {
		return false
	}
	if !endsInNumber(host) {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Is4()
}

// endsInNumber reports whether the last label of a host is a number, decimal or
// hexadecimal, as defined by the WHATWG URL standard.
func endsInNumber(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

func isPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0 && port[0] != '0' && port[0] != '+'
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// CheckPath refuses a path that a client or a server may rewrite: one with a
// backslash, or with an empty, "." or ".." segment. One trailing slash is allowed. The
// form of its error is that of [Parse].
func CheckPath(u *url.URL) error { return checkPath(u.Path) }

func checkPath(path string) error {
	path = strings.TrimSuffix(path, "/")
	if strings.Contains(path, `\`) {
		return errors.New("contains a space or a backslash")
	}
	if path == "" {
		return nil
	}
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		name, _, _ := strings.Cut(segment, ";") // some servers strip parameters
		if name == "" || name == "." || name == ".." {
			return errors.New(`has an empty, "." or ".." segment in its path`)
		}
	}
	return nil
}

// Same reports whether two URLs have the same host and port. Their hosts must be in
// the spelling of [Host].
func Same(a, b *url.URL) bool { return a.Host == b.Host || address(a) == address(b) }

func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
