// Package serve is the command "serve": it serves the key management API for a keyring.
package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/storeflags"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
)

func Command() ui.Command {
	return ui.Command{
		Name:     "serve",
		Synopsis: "serve -store S -addr HOST:PORT -token-file F",
		Help: `
Serves the products' key management API for an existing keyring until it is
interrupted:

  POST   /rest/secrets/1.0/keys/rotate
  GET    /rest/secrets/1.0/keys/inactive
  DELETE /rest/secrets/1.0/keys/inactive

It prints its URL and logs to standard error. A request needs the header
"Authorization: Bearer TOKEN". An interrupt stops a rotation between two
transactions; the next rotation completes it.

  -addr HOST:PORT             the address to listen on; port 0 means any free port
  -token-file F               a file with the token, at least 16 characters. It is
                              read for each request, so you can replace it at any
                              time
  -tls-cert F, -tls-key F     certificate and key in PEM format. They are read for
                              each connection; other users must not have access to
                              the key. Without them, HOST must be a loopback
                              address
  -timeout D                  limit for opening the keyring (default 10s)
` + storeflags.Help + `

A client has 10 seconds to send its request, whose body is ignored, and a minute to
read the response. At most 256 connections are served at a time.

The audit log records token@ADDRESS as the actor.
` + storeflags.Notes,
		Run: run,
	}
}

// shutdownTimeout limits the responses under way at shutdown. It is longer than the
// keyring's limit for a transaction.
const shutdownTimeout = 15 * time.Second

// service is the configuration of the server.
type service struct {
	store    storeflags.Flags
	addr     string
	token    tokenFile
	cert     certificateFiles
	log      *slog.Logger
	announce func(url string) error
}

func run(ctx context.Context, args []string, s ui.Streams) error {
	log := slog.New(slog.NewTextHandler(s.Err, nil))
	v := service{log: log, token: tokenFile{log: log}, cert: certificateFiles{log: log}}
	v.announce = func(url string) error {
		fmt.Fprintln(s.Out, url)
		return s.Flush()
	}
	f := ui.NewFlags("serve")
	v.store.Register(f)
	f.StringVar(&v.addr, "addr", "", "")
	f.StringVar(&v.token.path, "token-file", "", "")
	f.StringVar(&v.cert.certFile, "tls-cert", "", "")
	f.StringVar(&v.cert.keyFile, "tls-key", "", "")
	if _, err := ui.ParseFlags(f, args, 0, 0); err != nil {
		return err
	}
	if err := v.check(); err != nil {
		return err
	}
	return v.run(ctx)
}

// check returns an error if a flag is missing or the service would be unsafe.
func (s *service) check() error {
	if _, err := s.store.Location(); err != nil {
		return err
	}
	if s.token.path == "" {
		return ui.NewUsageError("-token-file is missing: give a file with the token that " +
			"requests must send")
	}
	if (s.cert.certFile == "") != (s.cert.keyFile == "") {
		return ui.NewUsageError("-tls-cert and -tls-key must be given together")
	}
	host, _, err := net.SplitHostPort(s.addr)
	if err != nil {
		return ui.NewUsageError("-addr is missing or malformed: give HOST:PORT, such as " +
			"127.0.0.1:8443")
	}
	if !s.cert.configured() && !httpguard.Loopback(host) {
		return exposedError()
	}
	return nil
}

func exposedError() error {
	return ui.NewUsageError("-addr is not a loopback address, and without TLS the token could be " +
		"intercepted: " +
		"give -tls-cert and -tls-key, or listen on 127.0.0.1 behind a TLS proxy")
}

// run serves until ctx ends.
func (s *service) run(ctx context.Context) error {
	if _, err := s.token.read(); err != nil {
		return err
	}
	if s.cert.configured() {
		if _, err := s.cert.read(); err != nil {
			return err
		}
	}
	opening, cancel := context.WithTimeout(secretref.WithActor(ctx, storeflags.Actor()),
		s.store.Timeout.Value())
	defer cancel()
	k, err := storeflags.Open(opening, s.store, false, secretref.KeyringOptions{Logger: s.log})
	if err != nil {
		return err
	}
	defer k.CloseIfOpen()
	listener, scheme, err := s.listen(ctx)
	if err != nil {
		return err
	}
	server := newServer(k.Handler(s.token.authorize), s.log)
	if err := s.announce(scheme + "://" + listener.Addr().String()); err != nil {
		_ = listener.Close()
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- serveLimited(server, listener, s.tls()) }()
	select {
	case err := <-ended:
		return fmt.Errorf("the server stopped: %w", err)
	case <-ctx.Done():
	}
	return s.shutDown(server, k)
}

// listen returns the listener and the URL scheme.
func (s *service) listen(ctx context.Context) (net.Listener, string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.addr)
	if err != nil {
		return nil, "", fmt.Errorf("cannot listen: %w", err)
	}
	if s.cert.configured() {
		return listener, "https", nil
	}
	// A name such as localhost may resolve to another address.
	if a, ok := listener.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		_ = listener.Close()
		return nil, "", exposedError()
	}
	return listener, "http", nil
}

// tls returns the TLS configuration, or nil without a certificate.
func (s *service) tls() *tls.Config {
	if !s.cert.configured() {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: s.cert.getCertificate,
	}
}

// shutDown closes the keyring, which ends a rotation, and waits for the responses.
func (s *service) shutDown(server *http.Server, k *storeflags.Keyring) error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	closed, answered := make(chan error, 1), make(chan error, 1)
	go func() { closed <- k.Keyring.Close() }()
	go func() { answered <- server.Shutdown(ctx) }() // takes no more requests
	s.log.Info("shutting down; a rotation in progress stops between two transactions")
	failed, late := <-closed, <-answered
	if errors.Is(late, context.DeadlineExceeded) {
		late = server.Close()
	}
	return errors.Join(failed, late)
}
