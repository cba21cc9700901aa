package vaultkv

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/url"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/endpoint"
	"github.com/seed74218947/secretref/internal/fault"
)

// socketAddress is the address in requests to a Unix domain socket, the same as in
// Vault's own client.
const socketAddress = "http://localhost"

// socketTransport sends all requests to a Unix domain socket. It follows no
// redirect, which would lead away from the socket.
type socketTransport struct{ *http.Transport }

func newSocketTransport(base *http.Transport, endpoint *url.URL) socketTransport {
	base.Proxy = nil
	base.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", endpoint.Path)
	}
	return socketTransport{base}
}

// RoundTrip implements http.RoundTripper.
func (s socketTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.Transport.RoundTrip(r)
	if err == nil && resp.StatusCode >= 300 && resp.StatusCode < 400 {
		_ = resp.Body.Close()
		return nil, fault.New(fault.Unavailable,
			"a redirect (status %d) from a Unix socket is not followed",
			resp.StatusCode).Permanently()
	}
	return resp, err
}

// isSocket reports whether the endpoint is a Unix domain socket.
func (s *server) isSocket() bool { return s.endpoint.Scheme == endpoint.SocketScheme }

// explain explains why there is no answer.
func (s *server) explain(err error) *fault.Error {
	f := httpguard.Explain(err, s.name())
	if !s.isSocket() {
		return f
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Text = fault.Printable("there is no socket " + s.name() +
			": is the Vault Agent or Proxy running?")
	case errors.Is(err, fs.ErrPermission):
		f.Text = fault.Printable("no permission to open the socket " + s.name() +
			": check its owner and mode")
	}
	return f
}
