//go:build unix

package cipher_test

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/cipher"
	"github.com/seed74218947/secretref/internal/fault"
)

func TestAlgorithmNamedPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	for _, value := range []string{
		object(t, "sealedObjectFilePath", pipe, "keyFilePath", pipe),
		object(t, "serializedSealedObject", inlineObject(t), "keyFilePath", pipe),
		object(t, "serializedSealedObject", inlineObject(t), "keyFilePath", "/dev/zero"),
	} {
		got := make(chan error, 1)
		go func() {
			_, err := cipher.Algorithm{}.Open(value)
			got <- err
		}()
		select {
		case err := <-got:
			require.ErrorIs(t, err, fault.Unsupported)
		case <-time.After(10 * time.Second):
			t.Fatal("it waits for a writer")
		}
	}
}
