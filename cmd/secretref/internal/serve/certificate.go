package serve

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/seed74218947/secretref/internal/secfile"
)

// certificateFiles are the files of a TLS certificate. They are read for each
// connection, since certificates expire while the service runs.
type certificateFiles struct {
	certFile, keyFile string
	log               *slog.Logger

	mu   sync.Mutex
	last *tls.Certificate
}

func (c *certificateFiles) configured() bool { return c.certFile != "" }

// read loads the files. It refuses a key that other users can read.
func (c *certificateFiles) read() (*tls.Certificate, error) {
	loaded, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		return nil, failed
	}
	if err != nil {
		return nil, fmt.Errorf("-tls-cert and -tls-key are not a certificate and its key: %w", err)
	}
	key, err := os.Open(c.keyFile)
	if err != nil {
		return nil, err
	}
	defer key.Close()
	if err := secfile.Check(key); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = &loaded
	return &loaded, nil
}

// getCertificate implements tls.Config.GetCertificate. If the files cannot be loaded,
// for example because only one of them has been replaced, it returns the previous
// certificate.
func (c *certificateFiles) getCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	loaded, err := c.read()
	if err == nil {
		return loaded, nil
	}
	c.log.Warn("cannot reload the certificate", "error", err.Error())
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, nil
}
