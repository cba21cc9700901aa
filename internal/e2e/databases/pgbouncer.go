package databases

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// PgBouncer starts a PgBouncer in front of the database, with its current user and password, and
// returns the database at the address of the PgBouncer, which ends with the test. The mode is
// "session" or "transaction".
func PgBouncer(t testing.TB, d *Database, mode string) *Database {
	t.Helper()
	const program = "/usr/sbin/pgbouncer"
	if _, err := os.Stat(program); err != nil {
		installed(t, missing("PgBouncer is not installed: apt-get install pgbouncer"))
	}
	pooler := &Server{kind: d.kind, dir: d.dir, as: d.as, password: d.password}
	dir, err := os.MkdirTemp(d.dir, "pgbouncer-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	host, port, err := net.SplitHostPort(d.Addr)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	pooler.Addr = l.Addr().String()
	require.NoError(t, l.Close())
	_, own, err := net.SplitHostPort(pooler.Addr)
	require.NoError(t, err)

	users, config := filepath.Join(dir, "users"), filepath.Join(dir, "config")
	require.NoError(t,
		os.WriteFile(users, []byte(strconv.Quote(d.User)+" "+strconv.Quote(d.Password)+"\n"), 0o644))
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = %s
`, host, port, own, users, mode), 0o644))
	cmd := pooler.command(program, "-q", config)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", pooler.Addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 20*time.Second, 20*time.Millisecond, "PgBouncer does not start")
	return &Database{Server: pooler, Name: d.Name, User: d.User, Password: d.Password}
}
