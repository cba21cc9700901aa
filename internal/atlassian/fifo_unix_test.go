//go:build unix

package atlassian

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
)

func TestReadNamedPipe(t *testing.T) {
	home := t.TempDir()
	pipe := filepath.Join(home, "dbconfig.xml")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	for _, path := range []string{pipe, home} {
		got := make(chan error, 1)
		go func() {
			_, err := Read(path)
			got <- err
		}()
		select {
		case err := <-got:
			require.ErrorIs(t, err, fault.Unsupported)
		case <-time.After(10 * time.Second):
			t.Fatal("Read waits for a writer")
		}
	}
}
