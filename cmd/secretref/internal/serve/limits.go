package serve

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// maxConnections limits concurrent connections. It is far below the usual limit of
// open files, some of which the keyring needs.
const maxConnections = 256

// newServer returns a server with timeouts for slow clients. The handler itself
// extends them for a rotation.
func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second, // includes the TLS handshake
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// serveLimited serves at most maxConnections connections at a time; more wait to be
// accepted.
func serveLimited(server *http.Server, listener net.Listener, config *tls.Config) error {
	limited := &limitedListener{Listener: listener, slots: make(chan struct{}, maxConnections),
		closed: make(chan struct{})}
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed { // called once for each connection; none is hijacked
			<-limited.slots
		}
	}
	if config != nil {
		return server.Serve(tls.NewListener(limited, config))
	}
	return server.Serve(limited)
}

// limitedListener accepts a connection only when it has a free slot.
type limitedListener struct {
	net.Listener
	slots chan struct{}

	close  sync.Once
	closed chan struct{}
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
	}
	return c, err
}

// Close implements net.Listener.
func (l *limitedListener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return l.Listener.Close()
}
