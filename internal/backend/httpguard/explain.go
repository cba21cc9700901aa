package httpguard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
)

// Explain turns the error of a request that got no usable answer from host into
// one that says why. It does not repeat the text of err, which may hold a proxy's
// password or a piece of the answer.
func Explain(err error, host string) *fault.Error {
	if own, ok := errors.AsType[*fault.Error](err); ok {
		return own
	}
	cause := SanitizedCause(err)
	unavailable := func(format string, args ...any) *fault.Error {
		return fault.New(fault.Unavailable, format, args...).WithCause(cause)
	}
	op, _ := errors.AsType[*net.OpError](err)
	if op != nil && op.Op == "proxyconnect" { // an error of the proxy, never of the host
		return unavailable("the proxy to %s cannot be reached: "+proxyHint, host)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsTimeout {
			return unavailable("the name of %s was not resolved in time", host)
		}
		return unavailable("the name of %s does not resolve", host)
	}
	if isUntrusted(err) {
		return unavailable("the TLS certificate of %s is not trusted: check its name and its dates, "+
			"and that its CA is known here (VAULT_CACERT for Vault, AWS_CA_BUNDLE for AWS)",
			host).Permanently()
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok ||
		errors.Is(err, http.ErrSchemeMismatch) {
		return unavailable("%s does not speak TLS; if it speaks plain HTTP, the endpoint begins with http://",
			host).Permanently()
	}
	if op != nil && (op.Op == "remote error" || op.Op == "local error") { // a TLS alert
		f := unavailable("the TLS handshake with %s failed (%s)", host, op.Err)
		f.Permanent = isPermanentAlert(op.Err.Error())
		return f
	}
	switch text := err.Error(); {
	case strings.Contains(text, "malformed HTTP") && !isTruncatedStatus(text):
		return unavailable("%s does not speak HTTP; if it speaks TLS, the endpoint begins with https://",
			host).Permanently()
	case strings.Contains(text, "headers exceeded"), strings.Contains(text, "header list larger"):
		return unavailable("the headers of the answer of %s are too large", host).Permanently()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		isTimeout(err):
		return unavailable("%s did not answer in time", host)
	case errors.Is(err, context.Canceled):
		return unavailable("the request to %s was canceled", host)
	case errors.Is(err, syscall.ECONNREFUSED):
		return unavailable("%s refuses connections", host)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return unavailable("%s cannot be reached", host)
	case strings.Contains(text, "malformed HTTP"), isConnectionLost(err):
		return unavailable("%s closed the connection before its answer was complete", host)
	case strings.Contains(text, "tls: "):
		return unavailable("the TLS handshake with %s failed", host)
	}
	return unavailable("no answer from %s", host)
}

// isTruncatedStatus reports whether text, an error of net/http about a malformed
// status line, quotes the beginning of a valid one: the connection was lost in
// the middle of it.
func isTruncatedStatus(text string) bool {
	if _, line, ok := strings.Cut(text, `malformed HTTP response "`); ok {
		line = strings.TrimSuffix(line, `"`)
		return strings.HasPrefix("HTTP/1.1", line) || strings.HasPrefix("HTTP/1.0", line)
	}
	_, code, ok := strings.Cut(text, `malformed HTTP status code "`)
	return ok && len(strings.TrimRight(strings.TrimSuffix(code, `"`), "0123456789")) == 0
}

// isPermanentAlert reports whether a TLS alert is about the configuration of the
// two sides, which another attempt does not change, and not about one connection.
func isPermanentAlert(alert string) bool {
	return slices.ContainsFunc([]string{
		"certificate", "handshake failure", "protocol version", "unrecognized name",
	}, func(s string) bool { return strings.Contains(alert, s) })
}

func isConnectionLost(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

func isUntrusted(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.HostnameError](err)
	return ok
}

// RetryAfter returns the value of the Retry-After header, which is a number of
// seconds or a date. It is zero if the header is absent, malformed or in the
// past.
func RetryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if value == "" {
		return 0
	}
	// If value is out of range, ParseUint returns the largest number.
	seconds, err := strconv.ParseUint(value, 10, 31)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
