// Package transport keeps an HTTP client to what a secret may be exposed to:
// answers of bounded size, no redirect to a host that nobody approved, no
// clear text through a proxy.
package transport

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

const maxHops = 3

// Guard is a RoundTripper that follows redirects itself, under its own rules,
// and bounds the answers. The http.Client around it must not follow any.
type Guard struct {
	Base http.RoundTripper

	// Approve is asked about the target of a redirect to another host. Nil
	// refuses them all.
	Approve func(*url.URL) error

	// MaxBody is the size of the largest answer, in bytes.
	MaxBody int64

	// Check, unless nil, sees the body of every good answer before anyone
	// decodes it.
	Check func(body []byte) error
}

// RoundTrip implements http.RoundTripper. Its own errors are *fault.Error.
func (g *Guard) RoundTrip(req *http.Request) (*http.Response, error) {
	for hop := 0; ; hop++ {
		resp, err := g.Base.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		target, err := redirect(req, resp)
		if err != nil || target == nil {
			if err != nil {
				resp.Body.Close()
				return nil, err
			}
			return g.bounded(resp)
		}
		resp.Body.Close()
		if hop == maxHops {
			return nil, fault.New(fault.Unavailable, "%s redirects more than %d times", req.URL.Host, maxHops).Final()
		}
		if err := g.approve(req.URL, target); err != nil {
			return nil, err
		}
		if req, err = again(req, target); err != nil {
			return nil, err
		}
	}
}

// redirect returns where resp points, or nil if it is an answer.
func redirect(req *http.Request, resp *http.Response) (*url.URL, error) {
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
		return nil, fault.New(fault.Unavailable, "%s redirects to what is not a URL", req.URL.Host).Final()
	}
	target.User, target.Fragment, target.RawFragment = nil, "", ""
	return target, nil
}

// approve says whether a request, with the token in it, may go on to target.
// A redirect that may not be followed is no verdict of the backend on the secret,
// so the backend is unavailable.
func (g *Guard) approve(from, target *url.URL) error {
	there := target.Scheme + "://" + target.Host
	switch {
	case target.Scheme != "http" && target.Scheme != "https" || target.Host == "":
		return fault.New(fault.Unavailable, "%s redirects to something else than http or https", from.Host).Final()
	case from.Scheme == "https" && target.Scheme != "https":
		return fault.New(fault.Unavailable, "refused a redirect from https to %s: the token would travel in clear text", there).Final()
	case strings.EqualFold(target.Host, from.Host), hostPort(target) == hostPort(from):
		return nil
	case g.Approve == nil:
		return fault.New(fault.Unavailable, "refused a redirect from %s to another host, %s: the token must not follow; "+
			"name that host as endpoint, or approve it with AllowEndpoint", from.Host, there).Final()
	}
	bare := &url.URL{Scheme: target.Scheme, Host: target.Host}
	err := g.Approve(bare)
	if err == nil {
		return nil
	}
	refused := fault.New(fault.Unavailable, "AllowEndpoint refused the redirect from %s to %s", from.Host, there).Because(err).Final()
	if own, ok := errors.AsType[*fault.Error](err); ok { // its cause is kept, its kind is not: no secret was denied
		same := *own
		same.Kind, same.Text = refused.Kind, refused.Text
		refused = same.Final()
	}
	return refused
}

// hostPort spells a URL's host in one way.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// again returns req for another place.
func again(req *http.Request, target *url.URL) (*http.Request, error) {
	next := req.Clone(req.Context())
	next.URL, next.Host = target, ""
	if req.Body != nil && req.Body != http.NoBody {
		if req.GetBody == nil {
			return nil, fault.New(fault.Unavailable, "%s redirects a request that cannot be sent twice", req.URL.Host).Final()
		}
		body, err := req.GetBody()
		if err != nil {
			return nil, fault.New(fault.Unavailable, "a redirected request cannot be sent again").Because(err).Final()
		}
		next.Body = body
	}
	return next, nil
}

// CloseIdle closes the connections that no request uses, and those in use when
// they no longer are. It is not named CloseIdleConnections, which clients call
// by themselves after a failed request.
func (g *Guard) CloseIdle() {
	if base, ok := g.Base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

func (g *Guard) bounded(resp *http.Response) (*http.Response, error) {
	if resp.ContentLength > g.MaxBody {
		resp.Body.Close()
		return nil, g.tooLarge()
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, guard: g, left: g.MaxBody}
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

func (g *Guard) tooLarge() error {
	return fault.New(fault.Unavailable, "the answer is larger than %d MiB", g.MaxBody>>20).Final()
}

// boundedBody fails, instead of ending, where an answer is too long: half a
// secret must not pass for one.
type boundedBody struct {
	io.ReadCloser
	guard *Guard
	left  int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, b.guard.tooLarge()
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

// Loopback reports whether a host name or address stays on this machine.
func Loopback(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
