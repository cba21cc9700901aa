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
Serves the key management API that the products have, for a keyring that there
is, until it is interrupted:

  POST   /rest/secrets/1.0/keys/rotate
  GET    /rest/secrets/1.0/keys/inactive
  DELETE /rest/secrets/1.0/keys/inactive

It prints its URL, and logs to standard error. A request needs the header
"Authorization: Bearer TOKEN". An interrupt ends a rotation between two
transactions; the next one finishes it.

  -addr HOST:PORT             where to listen; port 0 is any that is free
  -token-file F               a file with the token, at least 16 characters. It is
                              read for each request, so that it can be replaced
  -tls-cert F, -tls-key F     certificate and key, in PEM form. They are read for
                              each connection, and the key must not be open to
                              others. Without them the address must be a loopback
                              one
  -timeout D                  how long opening the keyring may take (default 10s)
` + storeflags.Help + `

A client has 10 seconds to send its request, whose body is ignored, and a minute
to take the answer. At most 256 connections are served at a time.

The audit log has token@ADDRESS as who did it.
` + storeflags.Notes,
		Run: run,
	}
}

// shutdownTimeout is how long answers may take once the service ends: longer than the
// keyring gives a transaction.
const shutdownTimeout = 15 * time.Second

// service is what serve was asked for.
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

// check refuses what cannot be served, or not safely.
func (v *service) check() error {
	if _, err := v.store.Location(); err != nil {
		return err
	}
	if v.token.path == "" {
		return ui.NewUsageError("-token-file is missing: a file with the token that requests must have")
	}
	if (v.cert.certFile == "") != (v.cert.keyFile == "") {
		return ui.NewUsageError("-tls-cert and -tls-key go together")
	}
	host, _, err := net.SplitHostPort(v.addr)
	if err != nil {
		return ui.NewUsageError("-addr is missing or not HOST:PORT, such as 127.0.0.1:8443")
	}
	if !v.cert.configured() && !httpguard.Loopback(host) {
		return exposedError()
	}
	return nil
}

func exposedError() error {
	return ui.NewUsageError("-addr is not a loopback address, and without TLS everybody on the way could read the token: " +
		"give -tls-cert and -tls-key, or listen on 127.0.0.1 behind a proxy that has TLS")
}

// run serves until ctx ends.
func (v *service) run(ctx context.Context) error {
	if _, err := v.token.read(); err != nil {
		return err
	}
	if v.cert.configured() {
		if _, err := v.cert.read(); err != nil {
			return err
		}
	}
	opening, cancel := context.WithTimeout(secretref.WithActor(ctx, storeflags.Actor()), v.store.Timeout.Value())
	defer cancel()
	k, err := storeflags.Open(opening, v.store, false, secretref.KeyringOptions{Logger: v.log})
	if err != nil {
		return err
	}
	defer k.CloseIfOpen()
	listener, scheme, err := v.listen(ctx)
	if err != nil {
		return err
	}
	server := newServer(k.Handler(v.token.authorize), v.log)
	if err := v.announce(scheme + "://" + listener.Addr().String()); err != nil {
		_ = listener.Close()
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- serveLimited(server, listener, v.tls()) }()
	select {
	case err := <-ended:
		return fmt.Errorf("the service ended: %w", err)
	case <-ctx.Done():
	}
	return v.shutDown(server, k)
}

// listen returns where connections come in, and how they are spoken to.
func (v *service) listen(ctx context.Context) (net.Listener, string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", v.addr)
	if err != nil {
		return nil, "", fmt.Errorf("cannot listen: %w", err)
	}
	if v.cert.configured() {
		return listener, "https", nil
	}
	// What a name leads to is up to the machine.
	if a, ok := listener.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		_ = listener.Close()
		return nil, "", exposedError()
	}
	return listener, "http", nil
}

// tls returns how TLS is spoken, nil if it is not.
func (v *service) tls() *tls.Config {
	if !v.cert.configured() {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: v.cert.getCertificate,
	}
}

// shutDown lets what is under way end, and answers.
func (v *service) shutDown(server *http.Server, k *storeflags.Keyring) error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	closed, answered := make(chan error, 1), make(chan error, 1)
	go func() { closed <- k.Keyring.Close() }()
	go func() { answered <- server.Shutdown(ctx) }() // takes no more requests
	v.log.Info("shutting down; a rotation under way ends between two of its transactions")
	failed, late := <-closed, <-answered
	if errors.Is(late, context.DeadlineExceeded) {
		late = server.Close()
	}
	return errors.Join(failed, late)
}
