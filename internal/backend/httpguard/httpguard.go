// Package transport keeps an HTTP client to what a secret may be exposed to:
// answers of bounded size, no redirect to a host that nobody approved, no
// clear text through a proxy.
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

// Transport is a RoundTripper that follows redirects itself, under its own rules,
// and bounds the answers. The http.Client around it must not follow any. It
// sends requests only to hosts in the spelling of [endpoint.Host].
type Transport struct {
	Base http.RoundTripper

	// AllowRedirect is called with scheme, host and path of the target of every
	// redirect; its error refuses the redirect. If nil, redirects within a host
	// are followed, and those to other hosts are refused.
	AllowRedirect func(*url.URL) error

	// MaxBody is the size of the largest answer, in bytes.
	MaxBody int64

	// Check, unless nil, sees the body of every good answer before anyone
	// decodes it.
	Check func(body []byte) error
}

// RoundTrip implements http.RoundTripper. Its own errors are *fault.Error.
func (g *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if host, err := endpoint.Host(req.URL); err != nil || host != req.URL.Host {
		closeBody(req)
		return nil, fault.New(fault.Denied, "refused a request to a host that is not in the spelling in which hosts are compared").Permanently().RefusedLocally()
	}
	for hop := 0; ; hop++ {
		resp, err := g.Base.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		target, err := redirectTarget(req, resp)
		if err != nil || target == nil {
			if err != nil {
				resp.Body.Close()
				return nil, err
			}
			return g.limitBody(resp)
		}
		resp.Body.Close()
		if hop == maxRedirects {
			return nil, fault.New(fault.Unavailable, "%s redirects more than %d times", req.URL.Host, maxRedirects).Permanently()
		}
		if err := g.allowRedirect(req.URL, target); err != nil {
			return nil, err
		}
		if req, err = redirectTo(req, target); err != nil {
			return nil, err
		}
	}
}

// redirectTarget returns where resp points, or nil if it is an answer.
func redirectTarget(req *http.Request, resp *http.Response) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	location := resp.Header.Get("Location")
	if location == "" {
		return nil, nil
	}
	target, err := req.URL.Parse(location)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "%s redirects to what is not a URL", req.URL.Host).Permanently()
	}
	target.User, target.Fragment, target.RawFragment = nil, "", ""
	return target, nil
}

// allowRedirect reports whether a request, with the token in it, may go on to target,
// and puts target's host into its one spelling. A redirect that is refused is
// no verdict of the store on the secret: the store is unavailable.
func (g *Transport) allowRedirect(from, target *url.URL) (err error) {
	refused := func(format string, args ...any) error {
		return fault.New(fault.Unavailable, "refused a redirect from "+format, append([]any{from.Host}, args...)...).Permanently()
	}
	if target.Scheme != "http" && target.Scheme != "https" || target.Host == "" {
		return refused("%s: it leads to something else than http or https")
	}
	if target.Host, err = endpoint.Host(target); err != nil {
		return refused("%s to a URL that %s", err)
	}
	there := target.Scheme + "://" + target.Host
	switch {
	case from.Scheme == "https" && target.Scheme != "https":
		return refused("%s, which speaks https, to %s: the token would travel in clear text", there)
	case g.AllowRedirect == nil && !endpoint.Same(from, target):
		return refused("%s to another host, %s: the token must not follow; name that host as endpoint, or approve it with AllowEndpoint", there)
	case target.EscapedPath() == from.EscapedPath():
		// It was asked for, however it is spelled.
	case endpoint.CheckPath(target) != nil || strings.Contains(strings.ToLower(target.EscapedPath()), "%2f"):
		return refused("%s to a path at %s that servers read in different ways", there)
	}
	if g.AllowRedirect == nil {
		return nil
	}
	err = g.AllowRedirect(shownURL(target))
	if err == nil {
		return nil
	}
	refusal := fault.New(fault.Unavailable, "refused a redirect from %s: %s", from.Host, errorText(err)).WithCause(err).Permanently()
	if own, ok := errors.AsType[*fault.Error](err); ok { // its cause is kept, its kind is not: no secret was denied
		same := *own
		same.Kind, same.Text = refusal.Kind, refusal.Text
		refusal = same.Permanently()
	}
	return refusal
}

// shownURL returns what AllowEndpoint is shown of a URL. It may change the copy.
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

// redirectTo returns req for another place.
func redirectTo(req *http.Request, target *url.URL) (*http.Request, error) {
	next := req.Clone(req.Context())
	next.URL, next.Host = target, ""
	if req.Body != nil && req.Body != http.NoBody {
		if req.GetBody == nil {
			return nil, fault.New(fault.Unavailable, "%s redirects a request that cannot be sent twice", req.URL.Host).Permanently()
		}
		body, err := req.GetBody()
		if err != nil {
			return nil, fault.New(fault.Unavailable, "a redirected request cannot be sent again").WithCause(err).Permanently()
		}
		next.Body = body
	}
	return next, nil
}

// CloseIdle closes the connections that no request uses, and those in use when
// they no longer are. It is not named CloseIdleConnections, which clients call
// by themselves after a failed request.
func (g *Transport) CloseIdle() {
	if base, ok := g.Base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

func (g *Transport) limitBody(resp *http.Response) (*http.Response, error) {
	if resp.ContentLength > g.MaxBody {
		resp.Body.Close()
		return nil, g.tooLargeError()
	}
	resp.Body = &limitedBody{ReadCloser: resp.Body, transport: g, left: g.MaxBody}
	if g.Check == nil || resp.StatusCode != http.StatusOK {
		return resp, nil
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	if err := g.Check(body); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

func (g *Transport) tooLargeError() error {
	return fault.New(fault.Unavailable, "the answer is larger than %d MiB", g.MaxBody>>20).Permanently()
}

// limitedBody fails, instead of ending, where an answer is too long: half a
// secret must not pass for one.
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

// Proxy sends https through the proxy that the environment names, where the
// tunnel is opaque to it, and never plain http: the proxy would read the token
// and the secret.
func Proxy(req *http.Request) (*url.URL, error) {
	if req.URL.Scheme != "https" {
		return nil, nil
	}
	return http.ProxyFromEnvironment(req)
}

// Loopback reports whether a host certainly stays on this machine: localhost, or
// a loopback address. A name below localhost is looked up by some systems as any
// other name is.
func Loopback(host string) bool {
	if strings.TrimSuffix(strings.ToLower(host), ".") == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == "" && addr.IsLoopback()
}
