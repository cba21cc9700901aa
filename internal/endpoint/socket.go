package endpoint

import (
	"errors"
	"net/url"
	"strings"
)

// SocketScheme is the scheme of an endpoint that is the Unix domain socket of a Vault
// Agent or Proxy on this machine.
const SocketScheme = "unix"

const socketPrefix = SocketScheme + "://"

// ParseOrSocket is [Parse] for an endpoint that may also be a socket:
// unix:///run/vault.sock.
func ParseOrSocket(text string) (*url.URL, error) {
	path, ok := strings.CutPrefix(text, socketPrefix)
	if !ok {
		return Parse(text)
	}
	u, err := url.Parse(text)
	if err != nil || !strings.HasPrefix(path, "/") || path == "/" || u.Path != path ||
		strings.ContainsAny(path, " \\@") || strings.HasSuffix(path, "/") {
		return nil, errors.New("does not have the absolute path of a socket after unix:// " +
			"(unix:///run/vault.sock), in characters that need no escaping")
	}
	if err := CheckPath(u); err != nil {
		return nil, err
	}
	return u, nil
}

// CheckOrSocket is [Check] for an endpoint that may also be a socket.
func CheckOrSocket(text string) error {
	if !strings.HasPrefix(text, socketPrefix) {
		return Check(text)
	}
	_, err := ParseOrSocket(text)
	return err
}
