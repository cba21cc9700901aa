package httpguard

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

const proxyHint = "check HTTPS_PROXY and NO_PROXY"

// CheckProxyAnswer is the OnProxyConnectResponse of an http.Transport. Its error
// names a proxy that does not connect and the status of its answer. A refusal by
// the proxy is permanent.
func CheckProxyAnswer(_ context.Context, proxy *url.URL, connect *http.Request,
	resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	f := fault.New(fault.Unavailable,
		"the proxy %s does not connect to %s: it answered with status %d %s; "+proxyHint,
		proxy.Host, connect.Host, resp.StatusCode, http.StatusText(resp.StatusCode))
	f.RetryAfter = RetryAfter(resp.Header)
	f.Permanent = resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests
	return f
}

// explainProxy turns an error that occurred before there was a connection through
// the proxy into one that names the proxy.
func (c *connections) explainProxy(req *http.Request, err error) error {
	if c.Proxy == nil || errors.Is(err, context.Canceled) {
		return err
	}
	proxy, failed := c.Proxy(req)
	if failed != nil {
		// The error quotes the variable, which may hold a password.
		return fault.New(fault.Unavailable, "the proxy is not a URL: "+proxyHint).Permanently()
	}
	if proxy == nil {
		return err
	}
	if own, ok := errors.AsType[*fault.Error](err); ok {
		return own
	}
	op, ok := errors.AsType[*net.OpError](err)
	switch {
	case ok && (op.Op == "proxyconnect" || strings.HasPrefix(op.Op, "socks")):
		return fault.New(fault.Unavailable, "the proxy %s cannot be reached: "+proxyHint,
			proxy.Host).WithCause(err)
	case isTimeout(err):
		return fault.New(fault.Unavailable,
			"there was no connection to %s through the proxy %s in time: "+proxyHint,
			req.URL.Host, proxy.Host).WithCause(err)
	case isConnectionLost(err):
		return fault.New(fault.Unavailable,
			"the connection to %s through the proxy %s was closed: "+proxyHint,
			req.URL.Host, proxy.Host).WithCause(err)
	}
	return err // for example of the TLS handshake with the server
}
