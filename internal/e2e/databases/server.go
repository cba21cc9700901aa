package databases

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const adminUser = "admin"

// A kind describes a database system.
type kind struct {
	driver, scheme string
	open           func(dsn string) (*sql.DB, error)
	system         string         // a database that always exists
	schemas        bool           // a Database is a schema in system
	accounts       []string       // users to run the server as when the tests run as root
	interrupt      syscall.Signal // shuts the server down without waiting for clients
	program        string         // the server
	args           func(s *Server) []string
	dsn            func(addr, user, password, database string, params []string) string
	create, drop   func(d *Database) []string
	createUser     func(d *Database, name, password string) []string
	dropUser       func(name string) []string
}

// A Server is a database server's process and its directory. The methods that end or start the
// process affect every [Database] on it and are not safe for concurrent use.
type Server struct {
	Addr string // host and port, which a restart does not change

	kind     kind
	dir      string
	password string // of adminUser
	as       *syscall.Credential
	guard    io.WriteCloser
	process  *os.Process
	ended    chan struct{}
}

// newServer creates the directory, which prepare fills, and starts the server.
func newServer(k kind, prepare func(s *Server) error) (_ *Server, err error) {
	s := &Server{kind: k, password: rand.Text()}
	base := os.TempDir()
	if os.Geteuid() == 0 {
		if s.as, err = credential(k.accounts); err != nil {
			return nil, err
		}
		base = "/tmp" // other users can certainly enter it
	}
	if s.dir, err = os.MkdirTemp(base, "secretref-"+k.scheme+"-"); err != nil {
		return nil, err
	}
	if s.as != nil {
		if err := os.Chown(s.dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return nil, errors.Join(err, os.RemoveAll(s.dir))
		}
	}
	if err := s.watch(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := prepare(s); err != nil {
		s.remove()
		return nil, err
	}
	// A port outside the range for outgoing connections stays free while the server is stopped.
	for range 20 {
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+mathrand.IntN(12000)))
		if l, err := net.Listen("tcp", s.Addr); err == nil {
			_ = l.Close()
			if err = s.start(); err == nil {
				return s, nil
			}
		}
	}
	s.remove()
	return nil, fmt.Errorf("databases: the %s server does not start", k.scheme)
}

// credential returns the credential of the first account that exists.
func credential(accounts []string) (*syscall.Credential, error) {
	for _, name := range append(accounts, "nobody") {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("databases: running as root, and no user of %v exists to run a server as",
		accounts)
}

// command returns a command that runs as the server's user in its directory.
func (s *Server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = s.dir
	// An unusual time zone uncovers code that forgets it. The temporary directory is not shared
	// because MariaDB empties it when it starts.
	cmd.Env = []string{"TMPDIR=" + s.dir, "PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "LC_ALL=C",
		"TZ=Asia/Kathmandu", "HOME=" + s.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setpgid: true}
	return cmd
}

// watch starts a shell that ends the server and removes the directory after this process has
// ended in any way, which closes the shell's standard input. Each line of the input is the
// process ID of the server, or empty while it is stopped.
func (s *Server) watch() error {
	cmd := s.command("/bin/sh", "-c", `
		while read -r line; do pid=$line; done
		if [ -n "$pid" ]; then
			kill -QUIT $pid
			for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 $pid || break; sleep 0.2; done
			kill -KILL $pid
		fi
		rm -rf "$0"`, s.dir)
	var err error
	if s.guard, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }()
	return nil
}

func (s *Server) start() error {
	var err error
	for range 40 { // the resources of a killed server are not free at once
		if err = s.launch(); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// launch starts the server and waits until it accepts connections.
func (s *Server) launch() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "server.log"),
		os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := s.command(s.kind.program, s.kind.args(s)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	fmt.Fprintln(s.guard, cmd.Process.Pid)
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	s.process, s.ended = cmd.Process, ended

	db, err := s.kind.open(s.kind.dsn(s.Addr, adminUser, s.password, s.kind.system, nil))
	if err != nil {
		return err
	}
	defer db.Close()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err = db.PingContext(ctx)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			s.end(syscall.SIGKILL)
			return s.failed(errors.New("the server ended"))
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.end(syscall.SIGKILL)
	return s.failed(err)
}

// failed adds the end of the server's log to an error.
func (s *Server) failed(err error) error {
	log, _ := os.ReadFile(filepath.Join(s.dir, "server.log"))
	return fmt.Errorf("databases: %w; its log ends: %s", err, log[max(0, len(log)-2000):])
}

// end sends the signal and waits until the process has ended.
func (s *Server) end(signal syscall.Signal) {
	if s.process == nil {
		return
	}
	_ = s.process.Signal(signal)
	select {
	case <-s.ended:
	case <-time.After(20 * time.Second):
		_ = s.process.Kill()
		<-s.ended
	}
	fmt.Fprintln(s.guard)
	s.process = nil
}

func (s *Server) remove() {
	s.end(syscall.SIGQUIT)
	_ = s.guard.Close()
	_ = os.RemoveAll(s.dir)
}

// Stop shuts the server down and disconnects its clients.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.end(s.kind.interrupt)
}

// Kill ends the server with SIGKILL.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if s.process == nil {
		return
	}
	started := children(s.process.Pid)
	s.end(syscall.SIGKILL)
	// The child processes of PostgreSQL serve their clients until they notice.
	require.Eventually(t, func() bool {
		for _, pid := range started {
			if syscall.Kill(pid, 0) == nil {
				return false
			}
		}
		return true
	}, 20*time.Second, 5*time.Millisecond)
}

// children returns the child processes of a process, if the system has /proc.
func children(parent int) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, _ := os.ReadFile(path)
		_, rest, _ := strings.Cut(string(stat), ") ") // the name can contain any character
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// Start starts the server again at the same address and waits until it accepts connections.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if s.process == nil {
		require.NoError(t, s.start())
	}
}

// Restart is Stop and Start.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop(t)
	s.Start(t)
}
