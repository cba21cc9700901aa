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

// certificateFiles is what a service shows of itself. The files are read anew, since
// certificates end sooner than services.
type certificateFiles struct {
	certFile, keyFile string
	log               *slog.Logger

	mu   sync.Mutex
	last *tls.Certificate
}

func (c *certificateFiles) configured() bool { return c.certFile != "" }

// read reads the files and remembers what is in them. It refuses a key that
// everybody on this machine can read.
func (c *certificateFiles) read() (*tls.Certificate, error) {
	loaded, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		return nil, failed
	}
	if err != nil {
		return nil, fmt.Errorf("-tls-cert and -tls-key are no pair of certificate and key: %w", err)
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

// getCertificate serves tls.Config. While one of the files is replaced, and the other is
// not yet, the pair of before is shown.
func (c *certificateFiles) getCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	loaded, err := c.read()
	if err == nil {
		return loaded, nil
	}
	c.log.Warn("the certificate cannot be read anew", "error", err.Error())
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, nil
}
