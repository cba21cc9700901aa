package main

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
)

// token is the file with the token that requests must have.
type token struct {
	path string
	log  *slog.Logger
}

// read returns the token as it is now.
func (t token) read() (string, error) {
	const shortest = 16
	text, err := readPrivate(t.path)
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

var errRefused = errors.New("not authorized")

// authorize returns who sends a request that has the token.
func (t token) authorize(r *http.Request) (string, error) {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given = strings.TrimSpace(given)
	if !strings.EqualFold(scheme, "Bearer") || given == "" {
		return "", errRefused
	}
	want, err := t.read()
	if err != nil {
		t.log.Error("no request is let in", "error", err.Error())
		return "", err
	}
	// The sums hide even the length of the token from who measures time.
	givenSum, wantSum := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(want))
	if subtle.ConstantTimeCompare(givenSum[:], wantSum[:]) != 1 {
		return "", errRefused
	}
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		from = r.RemoteAddr
	}
	return "token@" + from, nil
}
