// Package httpguard makes an HTTP client safe for secrets: it bounds the size of
// answers, refuses redirects to hosts that are not approved, and keeps plain HTTP
// away from proxies.
package httpguard

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/seed74218947/secretref/internal/endpoint"
	"github.com/seed74218947/secretref/internal/fault"
)

const maxRedirects = 3

// Transport is a RoundTripper that follows redirects under its own rules and
// bounds the size of answers. The http.Client around it must not follow
// redirects. It sends requests only to hosts in the spelling of [endpoint.Host].
type Transport struct {
	Base http.RoundTripper

	// AllowRedirect is called with scheme, host and path of the target of every
	// redirect; its error refuses the redirect. If nil, redirects within a host
	// are followed, and those to other hosts are refused.
	AllowRedirect func(*url.URL) error

	// MaxBody limits the size of an answer, in bytes.
	MaxBody int64

	// Check, if not nil, is called with the body of every answer with status 200
	// before it is decoded. Its error replaces the answer.
	Check func(body []byte) error
}

// RoundTrip implements http.RoundTripper. Its own errors are *fault.Error.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if host, err := endpoint.Host(req.URL); err != nil || host != req.URL.Host {
		closeBody(req)
		return nil, fault.New(fault.Denied,
			"refused a request to a host that is not in the spelling in which hosts are compared",
		).Permanently().RefusedLocally()
	}
	for hop := 0; ; hop++ {
		resp, err := t.Base.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		target, err := redirectTarget(req, resp)
		if err != nil || target == nil {
			if err != nil {
				resp.Body.Close()
				return nil, err
			}
			return t.limitBody(resp)
		}
		resp.Body.Close()
		if hop == maxRedirects {
			return nil, fault.New(fault.Unavailable, "%s redirects more than %d times",
				req.URL.Host, maxRedirects).Permanently()
		}
		if err := t.allowRedirect(req.URL, target); err != nil {
			return nil, err
		}
		if req, err = redirectTo(req, target); err != nil {
			return nil, err
		}
	}
}

// redirectTarget returns the URL that resp redirects to, or nil if resp is not a
// redirect.
func redirectTarget(req *http.Request, resp *http.Response) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect,
		http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	location := resp.Header.Get("Location")
	if location == "" {
		return nil, nil
	}
	target, err := req.URL.Parse(location)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "%s redirects to an invalid URL",
			req.URL.Host).Permanently()
	}
	target.User, target.Fragment, target.RawFragment = nil, "", ""
	return target, nil
}

// allowRedirect returns an error unless a request, which carries a token, may be
// sent to target. It rewrites target's host to the canonical spelling. A refused
// redirect says nothing about the secret, so its kind is Unavailable.
func (t *Transport) allowRedirect(from, target *url.URL) (err error) {
	refused := func(format string, args ...any) error {
		return fault.New(fault.Unavailable, "refused a redirect from "+format,
			append([]any{from.Host}, args...)...).Permanently()
	}
	if target.Scheme != "http" && target.Scheme != "https" || target.Host == "" {
		return refused("%s: its target is not an http or https URL")
	}
	if target.Host, err = endpoint.Host(target); err != nil {
		return refused("%s to a URL that %s", err)
	}
	there := target.Scheme + "://" + target.Host
	switch {
	case from.Scheme == "https" && target.Scheme != "https":
		return refused("%s, which speaks https, to %s: the token would be sent in clear text", there)
	case t.AllowRedirect == nil && !endpoint.Same(from, target):
		return refused("%s to another host, %s: the token must not be sent there; "+
			"use that host as the endpoint, or approve it with AllowEndpoint", there)
	case target.EscapedPath() == from.EscapedPath():
		// The path is the requested one, so its spelling does not matter.
	case endpoint.CheckPath(target) != nil,
		strings.Contains(strings.ToLower(target.EscapedPath()), "%2f"):
		return refused("%s to a path at %s that servers interpret in different ways", there)
	}
	if t.AllowRedirect == nil {
		return nil
	}
	err = t.AllowRedirect(shownURL(target))
	if err == nil {
		return nil
	}
	refusal := fault.New(fault.Unavailable, "refused a redirect from %s: %s", from.Host,
		errorText(err)).WithCause(err).Permanently()
	if own, ok := errors.AsType[*fault.Error](err); ok {
		// The cause is kept, the kind is not: no secret was denied.
		same := *own
		same.Kind, same.Text = refusal.Kind, refusal.Text
		refusal = same.Permanently()
	}
	return refusal
}

// shownURL returns the part of u that AllowEndpoint receives, as a copy that it
// may change.
func shownURL(u *url.URL) *url.URL {
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
}

// errorText is the text of an error without its kind.
func errorText(err error) string {
	if own, ok := errors.AsType[*fault.Error](err); ok && own.Text != "" {
		return own.Text
	}
	return err.Error()
}

// redirectTo returns a copy of req that is sent to target.
func redirectTo(req *http.Request, target *url.URL) (*http.Request, error) {
	next := req.Clone(req.Context())
	next.URL, next.Host = target, ""
	if req.Body != nil && req.Body != http.NoBody {
		if req.GetBody == nil {
			return nil, fault.New(fault.Unavailable, "%s redirects a request that cannot be sent twice",
				req.URL.Host).Permanently()
		}
		body, err := req.GetBody()
		if err != nil {
			return nil, fault.New(fault.Unavailable, "a redirected request cannot be sent again").
				WithCause(err).Permanently()
		}
		next.Body = body
	}
	return next, nil
}

// CloseIdle closes idle connections, and those in use once they become idle. It
// is not named CloseIdleConnections because SDKs call a method of that name after
// a failed request.
func (t *Transport) CloseIdle() {
	if base, ok := t.Base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

func (t *Transport) limitBody(resp *http.Response) (*http.Response, error) {
	if resp.ContentLength > t.MaxBody {
		resp.Body.Close()
		return nil, t.tooLargeError()
	}
	resp.Body = &limitedBody{ReadCloser: resp.Body, transport: t, left: t.MaxBody}
	if t.Check == nil || resp.StatusCode != http.StatusOK {
		return resp, nil
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	if err := t.Check(body); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

func (t *Transport) tooLargeError() error {
	return fault.New(fault.Unavailable, "the answer is larger than %d MiB",
		t.MaxBody>>20).Permanently()
}

// limitedBody fails if an answer is too long. It does not end early: half a
// secret must not be taken for a whole one.
type limitedBody struct {
	io.ReadCloser
	transport *Transport
	left      int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, b.transport.tooLargeError()
	}
	return n, err
}

// Proxy returns the proxy that the environment sets for https, which passes it
// through an encrypted tunnel. It returns none for plain http: the proxy could
// read the token and the secret.
func Proxy(req *http.Request) (*url.URL, error) {
	if req.URL.Scheme != "https" {
		return nil, nil
	}
	return http.ProxyFromEnvironment(req)
}

// Loopback reports whether a host is certainly this machine: localhost, or a
// loopback address. A subdomain of localhost does not count, since some systems
// look it up like any other name.
func Loopback(host string) bool {
	if strings.TrimSuffix(strings.ToLower(host), ".") == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == "" && addr.IsLoopback()
}
