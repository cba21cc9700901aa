//go:build linux || darwin

package rotate_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/keyring/seal"
)

// A limit on the size of files in a process of its own stands for a full disk.
func TestFullDisk(t *testing.T) {
	const child = "SECRETREF_FULL_DISK"
	if os.Getenv(child) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	var unlimited syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &unlimited))
	limited := func(size int64, work func() error) error {
		limit := unlimited
		limit.Cur = uint64(size)
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
		defer func() { require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &unlimited)) }()
		return work()
	}

	p := newKeyringFile(t)
	r := p.keyring(nil)
	s := p.fill(r, 40)
	to := rotate.Rotator{Keyring: r}.Paged(7)
	steps := int64(6)
	if testing.Short() {
		steps = 2
	}
	works := map[string]func() error{
		"put": func() error {
			return r.Put(t.Context(), "secret 7",
				[]byte(strings.Repeat("seven ", 4000)))
		},
		"rotate":          func() error { _, err := to.Rotate(t.Context()); return err },
		"delete inactive": func() error { _, err := to.DeleteInactive(t.Context()); return err },
		"change root":     func() error { return to.ChangeRoot(t.Context(), seal.NewRootText()) },
	}
	for name, work := range works {
		failed := 0
		for step := range steps {
			file, err := os.Stat(p.path)
			require.NoError(t, err)
			size := file.Size()*step/steps + rand.Int64N(5000)
			if err := limited(size, work); err != nil {
				failed++
				require.ErrorIs(t, err, fault.Unavailable, "%s, with %d of %d bytes", name, size, file.Size())
			} else if name == "put" {
				s["secret 7"] = strings.Repeat("seven ", 4000)
			}
			p.checkSecrets(p.keyring(nil), s)
			require.NoError(t, r.Verify(t.Context()))
			require.NoError(t, work(), "there is space again")
			if name == "put" {
				s["secret 7"] = "text 7"
				require.NoError(t, r.Put(t.Context(), "secret 7", []byte(s["secret 7"])))
			}
			p.checkIntact(s)
		}
		t.Logf("%s: %d of %d found no space", name, failed, steps)
		assert.Positive(t, failed, name)
	}
}
