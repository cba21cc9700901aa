package httpguard

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

const (
	// An HTTP/2 connection that was silent for pingInterval is tested with a ping,
	// whose answer may take pingTimeout. Idle connections are closed after 90
	// seconds, which also ends the pings.
	pingInterval = 15 * time.Second
	pingTimeout  = 5 * time.Second

	// minAttemptTime is the shortest time after which a request is sent again.
	minAttemptTime = time.Second

	// maxReusedWait limits how long a reused connection may keep a canceled request
	// waiting before it is considered dead and replaced. For a new connection the
	// limit is minAttemptTime.
	maxReusedWait = 250 * time.Millisecond
)

// Pool is a RoundTripper that replaces dead connections. A firewall may drop a
// connection without notifying either side, so that everything sent on it is
// lost. Therefore a request without an answer after a third of its time (at least
// a second) is sent once more over a new connection, and later requests do not
// use the old ones. Idle HTTP/2 connections are tested with pings.
type Pool struct {
	mu      sync.Mutex
	current *connections
	files   *reloader // of the certificates; nil if they do not change
}

// connections are the connections of one http.Transport, to all hosts.
type connections struct {
	*http.Transport
	handshakeGate
}

// errNoAnswer cancels the first attempt of a request.
var errNoAnswer = errors.New("no answer yet")

// NewPool returns a Pool over base. It modifies base and takes ownership of it.
func NewPool(base *http.Transport) *Pool {
	if base.OnProxyConnectResponse == nil {
		base.OnProxyConnectResponse = CheckProxyAnswer
	}
	if base.HTTP2 == nil {
		base.HTTP2 = &http.HTTP2Config{}
	}
	base.HTTP2.SendPingTimeout, base.HTTP2.PingTimeout = pingInterval, pingTimeout
	return &Pool{current: newConnections(base)}
}

func newConnections(t *http.Transport) *connections { return &connections{t, newHandshakeGate()} }

// RoundTrip implements http.RoundTripper.
func (p *Pool) RoundTrip(req *http.Request) (*http.Response, error) {
	return p.roundTrip(req, (*connections).RoundTrip)
}

// sendFunc sends a request over one of the connections.
type sendFunc func(*connections, *http.Request) (*http.Response, error)

func (p *Pool) roundTrip(req *http.Request, send sendFunc) (*http.Response, error) {
	wait := firstAttemptTimeout(req)
	resp, err := p.attempt(req, wait, send)
	if !errors.Is(err, errNoAnswer) {
		return resp, err
	}
	next := req.Clone(req.Context())
	if req.GetBody != nil {
		if next.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	return p.attempt(next, 0, send)
}

// firstAttemptTimeout returns the time after which a request is sent again; zero
// if it is sent only once.
func firstAttemptTimeout(req *http.Request) time.Duration {
	deadline, ok := req.Context().Deadline()
	if !ok || req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return 0
	}
	left := time.Until(deadline)
	wait := max(left/3, minAttemptTime)
	if wait > left/2 {
		return 0
	}
	return wait
}

// attempt sends a request once. If wait is not zero and no answer has begun by
// then, its error is errNoAnswer.
func (p *Pool) attempt(req *http.Request, wait time.Duration, send sendFunc) (*http.Response,
	error) {
	c := p.connections()
	var use usage
	ctx, cancel := context.WithCancelCause(req.Context())
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: use.gotConnection})
	inTime := func() bool { return true }
	if wait > 0 {
		inTime = time.AfterFunc(wait, func() { cancel(errNoAnswer) }).Stop
	}
	resp, err := send(c, req.WithContext(ctx))
	switch late := !inTime(); {
	case err == nil && !late:
		resp.Body = &trackedBody{ReadCloser: resp.Body, pool: p, from: c, ctx: ctx, cancel: cancel}
		return resp, nil
	case err == nil:
		_ = resp.Body.Close()
		err = errNoAnswer
	case late && req.Context().Err() == nil:
		err = errNoAnswer
	case !use.connected():
		err = c.explainProxy(req, err)
	}
	if ctx.Err() != nil && use.stalled() {
		p.retire(c)
	}
	p.release(c)
	cancel(nil)
	return nil, err
}

// connections returns the connections for a new request.
func (p *Pool) connections() *connections {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.files != nil {
		if next := p.files.reload(p.current); next != nil {
			p.current.CloseIdleConnections()
			p.current = next
		}
	}
	return p.current
}

// usage records how one request uses a connection. A request that got none has
// waited for a handshake, which continues and serves a later request.
type usage struct {
	mu     sync.Mutex
	start  time.Time // zero if there was no connection
	reused bool
}

func (u *usage) gotConnection(info httptrace.GotConnInfo) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.start, u.reused = time.Now(), info.Reused
}

func (u *usage) connected() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.start.IsZero()
}

// stalled reports whether the connection has kept the request waiting so long
// that it may be dead.
func (u *usage) stalled() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	limit := minAttemptTime
	if u.reused {
		limit = maxReusedWait
	}
	return !u.start.IsZero() && time.Since(u.start) >= limit
}

// retire makes later requests use new connections.
func (p *Pool) retire(c *connections) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == c {
		p.current = newConnections(c.Clone())
	}
}

// release closes a retired connection as soon as no request uses it.
func (p *Pool) release(c *connections) {
	p.mu.Lock()
	retired := p.current != c
	p.mu.Unlock()
	if retired {
		c.CloseIdleConnections()
	}
}

// CloseIdleConnections closes idle connections.
func (p *Pool) CloseIdleConnections() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current.CloseIdleConnections()
}

// trackedBody is the body of an answer. It retires the connections if reading
// fails because time is up.
type trackedBody struct {
	io.ReadCloser
	pool   *Pool
	from   *connections
	ctx    context.Context // of the request, valid while its answer is read
	cancel context.CancelCauseFunc
}

func (b *trackedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && b.ctx.Err() != nil {
		b.pool.retire(b.from)
	}
	return n, err
}

func (b *trackedBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	b.pool.release(b.from)
	return err
}
