package httpguard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"syscall"

	"github.com/seed74218947/secretref/internal/fault"
)

// SanitizedCause returns the part of err that an error may keep for errors.Is
// and errors.As: an error of the operating system, of a context or of the TLS
// handshake. It returns nil for any other error. The errors of HTTP clients and
// SDKs hold whole requests, with their tokens, and pieces of answers; the error
// of a file may hold a token that was given instead of a path.
func SanitizedCause(err error) error {
	for _, plain := range []error{
		context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		http.ErrSchemeMismatch,
	} {
		if err == plain { //nolint:errorlint // only the error itself, unwrapped
			return plain
		}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return sanitizedOp(op)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		text := "lookup failed" // the text of a resolver or proxy is not safe
		if dns.IsNotFound {
			text = "no such host"
		}
		return &net.DNSError{Err: text, Name: dns.Name, Server: dns.Server,
			IsTimeout: dns.IsTimeout, IsTemporary: dns.IsTemporary, IsNotFound: dns.IsNotFound}
	}
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return cert
	}
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return unknown
	}
	if host, ok := errors.AsType[x509.HostnameError](err); ok {
		return host
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok && fault.SafePath(path.Path) == path.Path {
		if cause := SanitizedCause(path.Err); cause != nil {
			return &fs.PathError{Op: path.Op, Path: path.Path, Err: cause}
		}
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	for _, plain := range []error{
		context.Canceled, context.DeadlineExceeded, os.ErrDeadlineExceeded, io.ErrUnexpectedEOF, io.EOF,
		net.ErrClosed,
		http.ErrSchemeMismatch, fs.ErrNotExist, fs.ErrPermission,
	} {
		if errors.Is(err, plain) {
			return plain
		}
	}
	return nil
}

// sanitizedOp keeps the operation and its addresses. The text of a TLS alert is
// crypto/tls's own; the text of a proxy's refusal comes from the proxy.
func sanitizedOp(op *net.OpError) error {
	cause := SanitizedCause(op.Err)
	switch {
	case cause != nil:
	case op.Op == "remote error", op.Op == "local error":
		cause = op.Err
	case op.Timeout():
		cause = os.ErrDeadlineExceeded
	default:
		return nil
	}
	return &net.OpError{Op: op.Op, Net: op.Net, Source: op.Source, Addr: op.Addr, Err: cause}
}
