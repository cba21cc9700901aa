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

// tokenFile is the file with the token that requests must have.
type tokenFile struct {
	path string
	log  *slog.Logger
}

// read returns the token as it is now.
func (t tokenFile) read() (string, error) {
	const shortest = 16
	text, err := storeflags.ReadPrivate(t.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%w; make a token with (umask 077 && openssl rand -hex 32 > %s)", err, t.path)
	case err != nil:
		return "", err
	case len(text) < shortest:
		return "", fmt.Errorf("the token in %s has %d characters, and needs %d; openssl rand -hex 32 makes a good one", t.path, len(text), shortest)
	case strings.ContainsAny(text, " \t\r\n"):
		return "", fmt.Errorf("there is white space in the token in %s", t.path)
	}
	return text, nil
}

var errUnauthorized = errors.New("not authorized")

// authorize returns who sends a request that has the token.
func (t tokenFile) authorize(r *http.Request) (string, error) {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given = strings.TrimSpace(given)
	if !strings.EqualFold(scheme, "Bearer") || given == "" {
		return "", errUnauthorized
	}
	want, err := t.read()
	if err != nil {
		t.log.Error("no request is let in", "error", err.Error())
		return "", err
	}
	// The sums hide even the length of the token from who measures time.
	givenSum, wantSum := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(want))
	if subtle.ConstantTimeCompare(givenSum[:], wantSum[:]) != 1 {
		return "", errUnauthorized
	}
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		from = r.RemoteAddr
	}
	return "token@" + from, nil
}
