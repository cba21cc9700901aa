// Package inproc passes requests to a handler without a connection, so that a client
// and a fake server can share a bubble of testing/synctest, whose clock does not
// advance while a goroutine waits for a socket.
package inproc

import (
	"cmp"
	"crypto/fips140"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
)

// Transport is an http.RoundTripper that passes requests for any host to Handler. If
// Handler panics with http.ErrAbortHandler, there is no answer.
type Transport struct{ Handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	in := r.Clone(r.Context())
	in.Host, in.RequestURI = cmp.Or(in.Host, in.URL.Host), in.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if in.ContentLength > 0 {
		in.Header.Set("Content-Length", strconv.FormatInt(in.ContentLength, 10))
	}
	defer func() {
		_ = in.Body.Close()
		if p := recover(); p == http.ErrAbortHandler {
			resp, err = nil, io.ErrUnexpectedEOF
		} else if p != nil {
			panic(p)
		}
	}()
	w := httptest.NewRecorder()
	t.Handler.ServeHTTP(w, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	resp = w.Result()
	resp.Request = r
	return resp, nil
}

// SkipWithoutRandom skips a test that needs random numbers in a bubble of
// testing/synctest if there are none: in FIPS 140-3 mode their generation depends on
// a running clock.
func SkipWithoutRandom(t interface {
	Helper()
	Skip(args ...any)
}) {
	t.Helper()
	if fips140.Enabled() {
		t.Skip("in FIPS mode there are no random numbers in a bubble")
	}
}
