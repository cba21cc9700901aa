package rotate_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/test/inproc"
)

const day = 24 * time.Hour

// newKeyringFileAt returns a keyring whose active key was activated at a time that is this
// much later than the year 2000.
func newKeyringFileAt(t *testing.T, later time.Duration) keyringFile {
	p := newKeyringFile(t)
	inproc.SkipWithoutRandom(t)
	synctest.Test(t, func(t *testing.T) { // begins in the year 2000
		time.Sleep(later)
		keyringFile{t, p.path}.keyring(nil)
	})
	return p
}

func TestIfOlder(t *testing.T) {
	r := rotate.Rotator{Keyring: newKeyringFileAt(t, 0).keyring(nil)}
	done, rotated, err := r.IfOlder(t.Context(), day)
	require.NoError(t, err)
	assert.True(t, rotated)
	assert.NotZero(t, done.To)
	_, rotated, err = r.IfOlder(t.Context(), day)
	require.NoError(t, err)
	assert.False(t, rotated, "the new key is young")
}

// Another node rotates after this one found an old key and before it gets the lease.
func TestIfOlder_checksAgainUnderLease(t *testing.T) {
	p := newKeyringFileAt(t, 0)
	f := newFaulty()
	r := p.keyring(f)
	other := p.keyring(nil)
	f.before = func(call string) error {
		if call == "Acquire" {
			_, err := (&rotate.Rotator{Keyring: other}).Rotate(t.Context())
			require.NoError(t, err)
		}
		return nil
	}
	_, rotated, err := (&rotate.Rotator{Keyring: r}).IfOlder(t.Context(), day)
	require.NoError(t, err)
	assert.False(t, rotated)
}

func TestIfOlder_manyNodesRotateOnce(t *testing.T) {
	p := newKeyringFileAt(t, 0)
	p.fill(p.keyring(nil), 3)
	const nodes = 8
	results := make(chan bool, nodes)
	for range nodes {
		r := rotate.Rotator{Keyring: p.keyring(nil)}
		go func() {
			_, rotated, err := r.IfOlder(t.Context(), day)
			assert.NoError(t, err)
			results <- rotated
		}()
	}
	rotations := 0
	for range nodes {
		if <-results {
			rotations++
		}
	}
	assert.Equal(t, 1, rotations)
}

func TestIfOlder_keyFromTheFuture(t *testing.T) {
	p := newKeyringFileAt(t, 100*365*day)
	_, rotated, err := (&rotate.Rotator{Keyring: p.keyring(nil)}).IfOlder(t.Context(), day)
	require.NoError(t, err)
	assert.True(t, rotated)
}
