package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/seed74218947/secretref/cmd/secretref/internal/storeflags"
)

// tokenFile is the file with the token that requests must send.
type tokenFile struct {
	path string
	log  *slog.Logger
}

// read returns the current token.
func (t tokenFile) read() (string, error) {
	const minLength = 16
	text, err := storeflags.ReadPrivate(t.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%w; create a token with (umask 077 && openssl rand -hex 32 > %s)",
			err, t.path)
	case err != nil:
		return "", err
	case len(text) < minLength:
		return "", fmt.Errorf("the token in %s has only %d characters and needs %d; create one "+
			"with openssl rand -hex 32", t.path, len(text), minLength)
	case strings.ContainsAny(text, " \t\r\n"):
		return "", fmt.Errorf("the token in %s contains white space", t.path)
	}
	return text, nil
}

var errUnauthorized = errors.New("not authorized")

// authorize returns the actor of a request with the token, and an error for others.
func (t tokenFile) authorize(r *http.Request) (string, error) {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given = strings.TrimSpace(given)
	if !strings.EqualFold(scheme, "Bearer") || given == "" {
		return "", errUnauthorized
	}
	token, err := t.read()
	if err != nil {
		t.log.Error("cannot read the token; all requests are refused", "error", err.Error())
		return "", err
	}
	// Comparing hashes hides even the length of the token from timing measurements.
	givenSum, tokenSum := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(givenSum[:], tokenSum[:]) != 1 {
		return "", errUnauthorized
	}
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		from = r.RemoteAddr
	}
	return "token@" + from, nil
}
