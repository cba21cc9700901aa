package databases

import (
	"cmp"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// newPostgres starts a PostgreSQL server with SCRAM-SHA-256 passwords and optional TLS. fsync is
// off: it must survive the end of its process, not of the machine.
func newPostgres() (*Server, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	k := kind{
		driver: "pgx", scheme: "postgres", system: "postgres", schemas: true,
		open:      func(dsn string) (*sql.DB, error) { return sql.Open("pgx", dsn) },
		accounts:  []string{"postgres"},
		interrupt: syscall.SIGINT,
		program:   filepath.Join(bin, "postgres"),
		args: func(s *Server) []string {
			host, port, _ := net.SplitHostPort(s.Addr)
			return []string{
				"-D", filepath.Join(s.dir, "data"), "-p", port, "-h", host,
				"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=200",
				"-c", "ssl=on", "-c", "ssl_cert_file=" + s.Certificate(), "-c",
				"ssl_key_file=" + s.certificateKey(),
			}
		},
		dsn: func(addr, user, password, database string, params []string) string {
			u := url.URL{
				Scheme: "postgres", Host: addr, User: url.UserPassword(user, password), Path: "/" + database,
				RawQuery: strings.Join(append([]string{"sslmode=disable"}, params...), "&"),
			}
			return u.String()
		},
		create: func(d *Database) []string {
			return []string{
				fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", d.User, d.Password),
				// The search path begins with the schema of the user's name.
				fmt.Sprintf("CREATE SCHEMA %s AUTHORIZATION %s", d.Name, d.User),
			}
		},
		drop: func(d *Database) []string {
			return []string{
				fmt.Sprintf("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '%s'",
					d.User),
				fmt.Sprintf("DROP SCHEMA IF EXISTS %s CASCADE", d.Name),
				fmt.Sprintf("DROP ROLE IF EXISTS %s", d.User),
			}
		},
		createUser: func(d *Database, name, password string) []string {
			return []string{
				fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", name, password),
				fmt.Sprintf("ALTER ROLE %s SET search_path = %s", name, d.Name),
				fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s", d.Name, name),
			}
		},
		dropUser: func(name string) []string {
			return []string{"DROP OWNED BY " + name, "DROP ROLE " + name}
		},
	}
	return newServer(k, func(s *Server) error {
		if err := s.certify(); err != nil {
			return err
		}
		pwfile := filepath.Join(s.dir, "password")
		if err := s.write(pwfile, s.password); err != nil {
			return err
		}
		init := s.command(filepath.Join(bin, "initdb"),
			"-D", filepath.Join(s.dir, "data"), "-U", adminUser, "-A", "scram-sha-256", "--pwfile", pwfile,
			"-E", "UTF8", "--locale=C", "--no-sync")
		if out, err := init.CombinedOutput(); err != nil {
			return fmt.Errorf("databases: initdb: %w: %s", err, out)
		}
		return os.Remove(pwfile)
	})
}

// postgresBin finds the newest PostgreSQL.
func postgresBin() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		version := func(path string) int {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
			return n
		}
		newest := slices.MaxFunc(found,
			func(a, b string) int { return cmp.Compare(version(a), version(b)) })
		return filepath.Dir(newest), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", missing("PostgreSQL is not installed: apt-get install postgresql")
	}
	return filepath.Dir(path), nil
}

// write creates a file that only the server's user can read.
func (s *Server) write(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil || s.as == nil {
		return err
	}
	return os.Chown(path, int(s.as.Uid), int(s.as.Gid))
}
