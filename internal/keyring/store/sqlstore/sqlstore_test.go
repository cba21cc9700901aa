package sqlstore_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/sqlstore"
)

// The conformance suite runs over real servers, in internal/e2e/sqlstore. Here the errors of
// drivers are tested.

// pgError is like the errors of pgx and lib/pq.
type pgError struct{ Code, Message, Detail, Where string }

func (p *pgError) Error() string {
	return "ERROR: " + p.Message + " (SQLSTATE " + p.Code + ") " + p.Detail + p.Where
}
func (p *pgError) SQLState() string { return p.Code }

// mysqlError is like the error of go-sql-driver/mysql.
type mysqlError struct {
	Number   uint16
	SQLState [5]byte
	Message  string
}

func (m *mysqlError) Error() string { return fmt.Sprintf("Error %d: %s", m.Number, m.Message) }

// failing is a connector whose connections fail.
type failing struct{ err error }

func (f failing) Connect(context.Context) (driver.Conn, error) { return nil, f.err }
func (f failing) Driver() driver.Driver                        { return nil }

func failure(t *testing.T, err error) error {
	db := sql.OpenDB(failing{err})
	t.Cleanup(func() { _ = db.Close() })
	_, err = sqlstore.New(db, sqlstore.PostgreSQL).Get(t.Context(), "name")
	require.Error(t, err)
	return err
}

func TestErrors(t *testing.T) {
	dial := func(cause error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1),
			Port: 5432}, Err: cause}
	}
	for _, row := range []struct {
		err  error
		kind error
		text string
	}{
		{&pgError{Code: "28P01", Message: "password authentication failed"}, fault.Unauthenticated,
			"password authentication failed (28P01)"},
		{&pgError{Code: "28000", Message: "no pg_hba.conf entry"}, fault.Unauthenticated, "28000"},
		{&pgError{Code: "42501", Message: "permission denied for table secretref_records"}, fault.Denied,
			"needs SELECT, INSERT, UPDATE and DELETE"},
		{&pgError{Code: "57P03", Message: "the database system is starting up"}, fault.Unavailable,
			"starting up (57P03)"},
		{&pgError{Code: "53300", Message: "too many connections"}, fault.Unavailable,
			"too many connections"},
		{&pgError{Code: "25006", Message: "read-only transaction"}, fault.Unavailable, "primary"},
		{&pgError{Code: "XX000", Message: "two\nlines\x1b[31m"}, fault.Unavailable,
			"two lines [31m (XX000)"},
		{&mysqlError{Number: 1045, Message: "Access denied for user"}, fault.Unauthenticated,
			"Access denied for user (1045)"},
		{&mysqlError{Number: 1142, Message: "DELETE command denied"}, fault.Denied,
			"DELETE command denied"},
		{&mysqlError{Number: 1044, Message: "Access denied to database"}, fault.Denied,
			"CREATE, with MySQL also REFERENCES"},
		{&mysqlError{Number: 1040, Message: "Too many connections"}, fault.Unavailable, "1040"},
		{&mysqlError{Number: 1290, Message: "running with the --read-only option"}, fault.Unavailable,
			"primary"},
		{&pgError{Code: "08P01", Message: "SASL authentication failed"}, fault.Unauthenticated,
			"SASL authentication failed (08P01)"},
		{&pgError{Code: "08P01", Message: "no more connections allowed"}, fault.Unavailable,
			"no more connections"},
		{&pgError{Code: "53100", Message: "could not extend file"}, fault.Unavailable,
			"the disk of the database is full"},
		{&mysqlError{Number: 1021, Message: "Disk full (/tmp/x); waiting for someone to free some space"},
			fault.Unavailable, "the disk of the database is full"},
		{&mysqlError{Number: 1114, Message: "The table 'secretref_records' is full"}, fault.Unavailable,
			"the disk of the database is full"},
		{&mysqlError{Number: 1030,
			Message: "Got error 28 \"No space left on device\" from storage engine InnoDB"},
			fault.Unavailable, "the disk of the database is full"},
		{&pgError{Code: "42P05", Message: `prepared statement "stmtcache_1" already exists`},
			fault.Unavailable, "default_query_exec_mode=exec"},
		{&pgError{Code: "26000", Message: "unnamed prepared statement does not exist"}, fault.Unavailable,
			"binary_parameters=yes"},
		{&mysqlError{Number: 3159, Message: "Connections using insecure transport are prohibited"},
			fault.Unavailable, "accepts only TLS"},
		{fmt.Errorf("connect: %w",
			errors.Join(errors.New("other host"),
				fmt.Errorf("tls error: %w", errors.New("server refused TLS connection")))), fault.Unavailable,
			"does not speak TLS"},
		{errors.New("pq: SSL is not enabled on the server"), fault.Unavailable, "sslmode=require"},
		{errors.New("TLS requested but server does not support TLS"), fault.Unavailable, "tls=true"},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, fault.Unavailable,
			"does not speak TLS"},
		{tls.AlertError(116), fault.Unavailable, "aborted the TLS handshake: tls: certificate required"},
		{fmt.Errorf("wrapped: %w", errors.Join(io.EOF, &mysqlError{Number: 1045})), fault.Unauthenticated,
			"1045"},
		{fmt.Errorf("wrapped: %w", &pgError{Code: "28P01"}), fault.Unauthenticated, "28P01"},
		{driver.ErrBadConn, fault.Unavailable, "the connection was lost"},
		{io.ErrUnexpectedEOF, fault.Unavailable, "the connection was lost"},
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), fault.Unavailable,
			"dial 127.0.0.1:5432: connection refused"},
		{dial(errors.New("hunter2")), fault.Unavailable, "dial 127.0.0.1:5432"},
		{&net.DNSError{Err: "no such host", Name: "db.example.com", IsNotFound: true}, fault.Unavailable,
			"db.example.com"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, fault.Unavailable,
			"certificate is not trusted"},
		{errors.New("postgres://user:hunter2@db"), fault.Unavailable, "the driver failed"},
		{fault.New(fault.Denied, "vault says no"), fault.Denied, "vault says no"},
	} {
		err := failure(t, row.err)
		assert.ErrorIs(t, err, row.kind)
		assert.ErrorIs(t, err, row.err, "the cause is there for errors.Is")
		assert.Contains(t, err.Error(), row.text)
		assert.NotContains(t, fmt.Sprintf("%+v %#v", err, err), "hunter2")
	}
}

func TestErrors_doNotQuoteValues(t *testing.T) {
	for _, err := range []error{
		&pgError{Code: "22P02", Message: "invalid input: hunter2"},
		&pgError{Code: "42601", Message: `syntax error at or near "hunter2"`},
		&pgError{Code: "40000", Detail: "Failing row contains (hunter2)", Where: "hunter2"},
		&mysqlError{Number: 1064, Message: "syntax error near 'hunter2'"},
		&mysqlError{Number: 1366, Message: `Incorrect string value: 'hunter2'`},
	} {
		err := failure(t, err)
		require.ErrorIs(t, err, fault.Unavailable)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestErrors_longMessage(t *testing.T) {
	err := failure(t, &pgError{Code: "XX000", Message: strings.Repeat("ä", 10_000)})
	require.Less(t, len(err.Error()), 1000)
	require.Contains(t, err.Error(), "…")
}

func TestStore_noTables(t *testing.T) {
	for _, missing := range []error{
		&pgError{Code: "42P01", Message: `relation "secretref_meta" does not exist`},
		&mysqlError{Number: 1146, Message: "Table 'db.secretref_meta' doesn't exist"},
	} {
		db := sql.OpenDB(failing{missing})
		defer db.Close()
		s := sqlstore.New(db, sqlstore.MySQL)
		_, err := s.Load(t.Context())
		require.ErrorIs(t, err, store.ErrEmpty)
		_, err = s.Get(t.Context(), "name")
		require.ErrorIs(t, err, fault.NotFound)
		require.ErrorIs(t, s.Delete(t.Context(), "name"), fault.NotFound)
		require.ErrorIs(t, s.Put(t.Context(), 1, "name", nil), store.ErrNotActive)
		require.ErrorIs(t, s.ReserveEncryptions(t.Context(), 1, 1), store.ErrNotActive)
		names, err := s.Names(t.Context(), "", 1)
		require.NoError(t, err)
		require.Empty(t, names)
		events, err := s.Events(t.Context(), 0, 1)
		require.NoError(t, err)
		require.Empty(t, events)
	}
}

func TestStore_contextEnds(t *testing.T) {
	db := sql.OpenDB(failing{io.EOF})
	defer db.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := sqlstore.New(db, sqlstore.PostgreSQL).Load(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, fault.Unavailable)
}

func TestPut_limits(t *testing.T) {
	db := sql.OpenDB(failing{io.EOF})
	defer db.Close()
	s := sqlstore.New(db, sqlstore.MySQL)
	require.ErrorIs(t, s.Put(t.Context(), 1, strings.Repeat("n", 1025), nil), fault.Unsupported)
	require.ErrorIs(t, s.Put(t.Context(), 1, "", nil), fault.Unsupported)
	require.ErrorIs(t, s.Put(t.Context(), 1, "n", make([]byte, 1<<24)), fault.Unsupported)
}
