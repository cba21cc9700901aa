package rotate_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/test/inproc"
)

// The lease expires after 15 seconds, and decrypting all secrets may take longer.
func TestRotate_renewsLeaseWhileReading(t *testing.T) {
	p := newKeyringFile(t)
	s := p.fill(p.keyring(nil), 7)
	inproc.SkipWithoutRandom(t)
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty()
		r := p.keyring(f)
		var renewed []time.Duration
		start := time.Now()
		f.before = func(call string) error {
			switch call {
			case "Records":
				time.Sleep(4 * time.Second)
			case "Renew":
				renewed = append(renewed, time.Since(start))
			}
			return nil
		}
		_, err := rotate.Rotator{Keyring: r}.Paged(2).Rotate(t.Context())
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(renewed), 4, "reading each page takes 4 seconds")
		for i, at := range renewed[1:] {
			assert.Less(t, at-renewed[i], 15*time.Second)
		}
	})
	p.checkIntact(s)
}

func TestRotate_refusesSecondRotator(t *testing.T) {
	p := newKeyringFile(t)
	r := p.keyring(nil)
	lease, err := p.keyring(nil).Store().Acquire(t.Context())
	require.NoError(t, err)
	to := rotate.Rotator{Keyring: r}
	_, err = to.Rotate(t.Context())
	require.ErrorIs(t, err, fault.RotationInProgress)
	require.ErrorIs(t, to.ChangeRoot(t.Context(), seal.NewRootText()), fault.RotationInProgress)
	_, rotated, err := to.IfOlder(t.Context(), 0)
	require.NoError(t, err)
	assert.False(t, rotated, "another node is rotating")
	assert.Equal(t, []string{" create done 1", " rotate refused 0", " change-root refused 0"},
		p.events(r))
	lease.Release(t.Context())
	_, err = to.Rotate(t.Context())
	require.NoError(t, err)
}

func TestRotate_stop(t *testing.T) {
	p := newKeyringFile(t)
	f := newFaulty()
	r := p.keyring(f)
	s := p.fill(r, 20)
	stop := make(chan struct{})
	moves := 0
	f.after = func(call string) error {
		if call == "Move" {
			if moves++; moves == 1 {
				close(stop)
			}
		}
		return nil
	}
	done, err := rotate.Rotator{Keyring: r, Stop: stop}.Paged(3).Rotate(t.Context())
	require.ErrorIs(t, err, fault.Unavailable)
	assert.Equal(t, 1, moves)
	assert.Positive(t, done.Moved)
	assert.Less(t, done.Moved, 20)
	p.checkIntact(s)
}

func TestRotate_contextEnds(t *testing.T) {
	p := newKeyringFile(t)
	f := newFaulty()
	r := p.keyring(f)
	s := p.fill(r, 20)
	ctx, cancel := context.WithCancel(t.Context())
	f.after = func(call string) error {
		if call == "Move" {
			cancel()
		}
		return nil
	}
	_, err := rotate.Rotator{Keyring: r}.Paged(3).Rotate(ctx)
	require.ErrorIs(t, err, fault.Unavailable)
	require.ErrorIs(t, err, context.Canceled)
	assert.Contains(t, p.events(p.keyring(nil)), " rotate failed 2")
	p.checkIntact(s)
}

// A node that has lost its lease changes nothing.
func TestRotate_lostLease(t *testing.T) {
	for _, lose := range []string{"Renew", "Activate", "Move", "Retire"} {
		p := newKeyringFile(t)
		f := newFaulty()
		r := p.keyring(f)
		s := p.fill(r, 7)
		f.before = func(call string) error {
			if call == lose {
				return fault.New(fault.RotationInProgress, "another node took over")
			}
			return nil
		}
		_, err := (&rotate.Rotator{Keyring: r}).Rotate(t.Context())
		if lose != "Renew" { // a short rotation does not call it
			require.ErrorIs(t, err, fault.RotationInProgress, lose)
		}
		p.checkIntact(s)
	}
}
