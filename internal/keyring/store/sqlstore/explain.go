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

// explain gives an error of a driver its kind and a text for people. What has a
// kind already keeps it: the password of a database may come from elsewhere.
func explain(ctx context.Context, err error) error {
	if err == nil || told(err) {
		return err
	}
	if ended := ctx.Err(); ended != nil {
		return fault.New(fault.Unavailable, "the call was given up before the database had answered").WithCause(ended)
	}
	c := complaintIn(err)
	switch c.code {
	case "":
		return fault.New(fault.Unavailable, "the database does not answer: %s", network(err)).WithCause(err)
	case undefinedTable, noSuchTable:
		return store.ErrEmpty
	case foreignKey, rowIsReferenced:
		return store.ErrInUse
	}
	hint, kind := c.kind()
	return fault.New(kind, "the database says: %s%s", c, hint).WithCause(err)
}

// told reports whether err is meant for our caller.
func told(err error) bool {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return true
	}
	for _, own := range []error{store.ErrEmpty, store.ErrNotActive, store.ErrKeyExhausted, store.ErrChanged, store.ErrInUse} {
		if errors.Is(err, own) {
			return true
		}
	}
	return false
}

// takenBack reports whether the database undid what it was asked for, so that
// it can be asked again.
func takenBack(err error) bool {
	if told(err) {
		return false
	}
	switch complaintIn(err).code {
	case "40001", "40P01", "55P03": // serialization failure, deadlock, lock not available
		return true
	case "1213", "1205", "1020": // deadlock, lock wait timeout, record has changed
		return true
	}
	return false
}

// refusedStatement reports whether the database does not know something that a
// statement of ours talks about.
func refusedStatement(err error) bool {
	switch complaintIn(err).code {
	case "42703", "42804", "42883", "1054":
		return true
	}
	return false
}

// network says what is wrong with the way to the database.
func network(err error) string {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e.Error()
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "its TLS certificate is not trusted: check its name, its dates, and that its CA is known here"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || withoutTLS(err) {
		return "the server does not speak TLS, which the data source name asks for (sslmode=require or stricter; with MySQL tls=true): switch TLS on in the server, or off here if the network is safe"
	}
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return "the server broke off the TLS handshake: " + alert.Error()
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" && e.Addr != nil {
		if system, ok := errors.AsType[*os.SyscallError](e.Err); ok {
			return "dial " + e.Addr.String() + ": " + system.Err.Error()
		}
		return "dial " + e.Addr.String()
	}
	return "the connection was lost, or its driver failed"
}

// withoutTLS reports whether a driver says that the server has no TLS. They have
// no other sign of it than a text, which is theirs alone.
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
