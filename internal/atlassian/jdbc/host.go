package jdbc

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// errEscape says nothing of what it is about, which may be a password.
var errEscape = errors.New("bad escape")

// sound refuses what an escape may smuggle past the check of the URL.
func sound(s string) error {
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
		if addr, err := netip.ParseAddr(inner); !closed || err != nil || !addr.Is6() || strings.ContainsFunc(addr.Zone(), notInHost) {
			t.mistake("what stands in brackets is not an IPv6 address")
		}
		return inner
	}
	switch {
	case s == "":
		t.mistake("there is no host")
	case strings.Contains(s, ":"):
		t.mistake("there is a : too many in the host (an IPv6 address stands in brackets, user and password are options of their own)")
	case strings.ContainsFunc(s, notInHost):
		t.mistake("the host holds characters that no host name has")
	case strings.ContainsFunc(s, func(c rune) bool { return c >= utf8.RuneSelf }):
		t.mistake("the host is not ASCII: Java and Go look for it under different names; write its ASCII form (xn--)")
	case oddAddress(s):
		t.mistake("the host is a number, but not an IPv4 address of four decimal numbers without leading zeros: " +
			"Java, Go and the system read it in different ways")
	}
	return s
}

// oddAddress reports whether a host ends in a number, decimal or hexadecimal, and
// is no IPv4 address in its usual form. 010.0.0.1 is 10.0.0.1 for Java and 8.0.0.1
// for the resolver that Go asks; 127.1 is an address for both, and a name for a
// Go program without cgo.
func oddAddress(host string) bool {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	last := name[strings.LastIndexByte(name, '.')+1:]
	hex, isHex := strings.CutPrefix(last, "0x")
	switch {
	case isHex && strings.Trim(hex, "0123456789abcdef") != "", !isHex && (last == "" || strings.Trim(last, "0123456789") != ""):
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err != nil || !addr.Is4()
}

// notInHost reports characters that would mean something else to one of the
// drivers: a path of a socket, a list, the end of the host.
func notInHost(c rune) bool {
	return c <= ' ' || c == 0x7f || strings.ContainsRune(`/\@?#,;()[]{}<>'"|^=&%*!$+~`+"`", c)
}

// port returns a port in plain decimal.
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
		t.mistake("there is a @ before the host: here user name and password are options of their own")
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
