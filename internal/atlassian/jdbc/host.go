package jdbc

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// errEscape does not quote the text, which may be a password.
var errEscape = errors.New("bad escape")

// checkDecoded refuses characters that checkDatabase could not see in an escape.
func checkDecoded(s string) error {
	if strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
		return errEscape
	}
	return nil
}

// host returns a host name or an address without its brackets.
func (t *translation) host(s string) string {
	inner, bracket := strings.CutPrefix(s, "[")
	if bracket {
		var closed bool
		inner, closed = strings.CutSuffix(inner, "]")
		if addr, err := netip.ParseAddr(inner); !closed || err != nil || !addr.Is6() ||
			strings.ContainsFunc(addr.Zone(), notInHost) {
			t.mistake("the text in brackets is not an IPv6 address")
		}
		return inner
	}
	switch {
	case s == "":
		t.mistake("there is no host")
	case strings.Contains(s, ":"):
		t.mistake("the host has an extra colon (write an IPv6 address in brackets, and user and password as options)")
	case strings.ContainsFunc(s, notInHost):
		t.mistake("the host contains characters that are not allowed in a host name")
	case strings.ContainsFunc(s, func(c rune) bool { return c >= utf8.RuneSelf }):
		t.mistake("the host is not ASCII: Java and Go resolve it under different names; write its ASCII form (xn--)")
	case isOddAddress(s):
		t.mistake("the host is a number, but not an IPv4 address of four decimal numbers without leading zeros: " +
			"Java, Go and the system interpret it differently")
	}
	return s
}

// isOddAddress reports whether a host ends in a number, decimal or hexadecimal, and is
// not an IPv4 address in its usual form. 010.0.0.1 is 10.0.0.1 for Java and 8.0.0.1
// for the resolver that Go uses; 127.1 is an address for both, and a name for a Go
// program without cgo.
func isOddAddress(host string) bool {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	last := name[strings.LastIndexByte(name, '.')+1:]
	hex, isHex := strings.CutPrefix(last, "0x")
	switch {
	case isHex && strings.Trim(hex, "0123456789abcdef") != "",
		!isHex && (last == "" || strings.Trim(last, "0123456789") != ""):
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err != nil || !addr.Is4()
}

// notInHost reports whether c has a meaning in the host for one of the drivers: the
// path of a socket, a list, the end of the host.
func notInHost(c rune) bool {
	return c <= ' ' || c == 0x7f || strings.ContainsRune(`/\@?#,;()[]{}<>'"|^=&%*!$+~`+"`", c)
}

// port returns a port in decimal.
func (t *translation) port(s string) string {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		t.mistake("the port is not a number between 1 and 65535")
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// hostPort splits host:port and [address]:port.
func (t *translation) hostPort(s, defaultHost, defaultPort string) (host, port string) {
	port = defaultPort
	if strings.Contains(s, "@") {
		t.mistake("there is an @ before the host: write user name and password as options")
		return "", ""
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 && strings.LastIndexByte(s, ']') < i {
		port = t.port(s[i+1:])
		if s = s[:i]; s == "" {
			s = defaultHost
		}
	}
	return t.host(s), port
}
