package databases

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/go-sql-driver/mysql"
)

// newMariaDB starts a MariaDB server. It writes its log at each commit without waiting for the
// disk: it must survive the end of its process, not of the machine.
func newMariaDB() (*Server, error) {
	program, err := findProgram("mariadbd", "mysqld")
	if err != nil {
		return nil, err
	}
	install, err := findProgram("mariadb-install-db", "mysql_install_db")
	if err != nil {
		return nil, err
	}
	k := kind{
		driver: "mysql", scheme: "mysql", system: "mysql",
		open: func(dsn string) (*sql.DB, error) {
			c, err := mysql.ParseDSN(dsn)
			if err != nil {
				return nil, err
			}
			c.Logger = &mysql.NopLogger{} // it repeats the errors
			connector, err := mysql.NewConnector(c)
			if err != nil {
				return nil, err
			}
			return sql.OpenDB(connector), nil
		},
		accounts:  []string{"mysql"},
		interrupt: syscall.SIGTERM,
		program:   program,
		args: func(s *Server) []string {
			host, port, _ := net.SplitHostPort(s.Addr)
			return []string{
				"--no-defaults", "--datadir=" + filepath.Join(s.dir, "data"),
				"--bind-address=" + host, "--port=" + port, "--skip-name-resolve",
				"--socket=" + filepath.Join(s.dir, "socket"), "--pid-file=" + filepath.Join(s.dir, "pid"),
				"--init-file=" + filepath.Join(s.dir, "init.sql"),
				"--innodb-flush-log-at-trx-commit=2", "--innodb-log-file-size=64M",
				"--innodb-buffer-pool-size=256M",
				"--max-connections=200",
			}
		},
		dsn: func(addr, user, password, database string, params []string) string {
			c := mysql.NewConfig()
			c.Net, c.Addr, c.User, c.Passwd, c.DBName = "tcp", addr, user, password, database
			dsn := c.FormatDSN()
			for i, p := range params {
				if i == 0 {
					dsn += "?" + p
				} else {
					dsn += "&" + p
				}
			}
			return dsn
		},
		create: func(d *Database) []string {
			return []string{
				fmt.Sprintf("CREATE DATABASE %s", d.Name),
				fmt.Sprintf("CREATE USER %s@'%%' IDENTIFIED BY '%s'", d.User, d.Password),
				fmt.Sprintf("GRANT ALL ON %s.* TO %s@'%%'", d.Name, d.User),
			}
		},
		drop: func(d *Database) []string {
			return []string{
				fmt.Sprintf("DROP DATABASE IF EXISTS %s", d.Name),
				fmt.Sprintf("DROP USER IF EXISTS %s@'%%'", d.User),
			}
		},
		createUser: func(_ *Database, name, password string) []string {
			return []string{fmt.Sprintf("CREATE USER %s@'%%' IDENTIFIED BY '%s'", name, password)}
		},
		dropUser: func(name string) []string {
			return []string{fmt.Sprintf("DROP USER %s@'%%'", name)}
		},
	}
	return newServer(k, func(s *Server) error {
		out, err := s.command(install, "--no-defaults", "--datadir="+filepath.Join(s.dir, "data"),
			"--auth-root-authentication-method=normal", "--skip-test-db",
			"--innodb-log-file-size=64M").CombinedOutput()
		if err != nil {
			return fmt.Errorf("databases: mariadb-install-db: %w: %s", err, out)
		}
		// The server runs this at each start. It removes the account without a password.
		return s.write(filepath.Join(s.dir, "init.sql"), fmt.Sprintf(
			"CREATE USER IF NOT EXISTS %s@'%%' IDENTIFIED BY '%s';\nGRANT ALL ON *.* TO %s@'%%' WITH GRANT OPTION;\n"+
				"DELETE FROM mysql.global_priv WHERE User = 'root';\nFLUSH PRIVILEGES;\n",
			adminUser, s.password, adminUser))
	})
}

func findProgram(names ...string) (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
		if path := filepath.Join("/usr/sbin", name); exists(path) {
			return path, nil
		}
	}
	return "", missing("MariaDB is not installed: apt-get install mariadb-server")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
