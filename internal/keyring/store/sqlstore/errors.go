package sqlstore

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// explain converts an error of a driver into one with a kind and a readable text. An error
// that already has a kind is returned unchanged: the caller's driver may resolve its
// password with this module.
func explain(ctx context.Context, err error) error {
	if err == nil || isDomainError(err) {
		return err
	}
	if ended := ctx.Err(); ended != nil {
		return fault.New(fault.Unavailable,
			"the context ended before the database responded").WithCause(ended)
	}
	e := findDBError(err)
	switch e.code {
	case "":
		return fault.New(fault.Unavailable, "the database cannot be reached: %s",
			connectionProblem(err)).WithCause(err)
	case undefinedTable, noSuchTable:
		return store.ErrEmpty
	case foreignKey, rowIsReferenced:
		return store.ErrInUse
	}
	hint, kind := e.classify()
	return fault.New(kind, "error of the database: %s%s", e, hint).WithCause(err)
}

// isDomainError reports whether err is an error that package store defines, or has a kind.
func isDomainError(err error) bool {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return true
	}
	for _, domain := range []error{store.ErrEmpty, store.ErrNotActive, store.ErrKeyExhausted,
		store.ErrChanged, store.ErrInUse} {
		if errors.Is(err, domain) {
			return true
		}
	}
	return false
}

// isRetryable reports whether the database rolled the transaction back because of a
// conflict, so that it can be repeated.
func isRetryable(err error) bool {
	if isDomainError(err) {
		return false
	}
	switch findDBError(err).code {
	case "40001", "40P01", "55P03": // serialization failure, deadlock, lock not available
		return true
	case "1213", "1205", "1020": // deadlock, lock wait timeout, record has changed
		return true
	}
	return false
}

// isUndefined reports whether a statement refers to a column, type or function that the
// database does not have.
func isUndefined(err error) bool {
	switch findDBError(err).code {
	case "42703", "42804", "42883", "1054":
		return true
	}
	return false
}

// connectionProblem describes why the database cannot be reached.
func connectionProblem(err error) string {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e.Error()
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "its TLS certificate is not trusted: check its name, its dates, and that its CA is " +
			"installed here"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || withoutTLS(err) {
		return "the server does not speak TLS, which the data source name requires (sslmode=require " +
			"or stricter; with MySQL tls=true): " +
			"enable TLS in the server, or disable it here if the network is safe"
	}
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return "the server aborted the TLS handshake: " + alert.Error()
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" && e.Addr != nil {
		if system, ok := errors.AsType[*os.SyscallError](e.Err); ok {
			return "dial " + e.Addr.String() + ": " + system.Err.Error()
		}
		return "dial " + e.Addr.String()
	}
	return "the connection was lost, or the driver failed"
}

// withoutTLS reports whether a driver's error says that the server does not offer TLS.
// Drivers report it only in the text of the error.
func withoutTLS(err error) (found bool) {
	walk(err, func(e error) bool {
		switch e.Error() {
		case "server refused TLS connection", // pgx
			"pq: SSL is not enabled on the server",
			"TLS requested but server does not support TLS": // go-sql-driver/mysql
			found = true
		}
		return !found
	})
	return found
}
