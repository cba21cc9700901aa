package rotate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/keyring/seal"
)

func TestRotate_movesEverySecret(t *testing.T) {
	p := newKeyringFile(t)
	r := p.keyring(nil)
	s := p.fill(r, 20)
	var progress [][2]int
	to := rotate.Rotator{Keyring: r,
		Progress: func(done, total int) { progress = append(progress, [2]int{done, total}) }}.Paged(8)
	ctx := keyring.WithActor(t.Context(), "alice")

	done, err := to.Rotate(ctx)
	require.NoError(t, err)
	assert.Equal(t, 20, done.Moved)
	assert.Equal(t, [][2]int{{8, 20}, {16, 20}, {20, 20}}, progress)
	p.checkSecrets(r, s)
	records, err := r.Store().Count(ctx)
	require.NoError(t, err)
	assert.Equal(t, map[seal.KeyID]int{done.To: 20}, records)

	deleted, err := to.DeleteInactive(ctx)
	require.NoError(t, err)
	require.Len(t, deleted, 1)
	assert.Equal(t, done.From, deleted[0].ID)
	p.checkSecrets(r, s)
	assert.Equal(t, []string{" create done 1", "alice rotate started 2", "alice rotate done 2",
		"alice delete-inactive done 1"}, p.events(r))
	p.checkIntact(s)
}

func TestRotate_emptyKeyring(t *testing.T) {
	p := newKeyringFile(t)
	done, err := (&rotate.Rotator{Keyring: p.keyring(nil)}).Rotate(t.Context())
	require.NoError(t, err)
	assert.Zero(t, done.Moved)
	p.checkIntact(stored{})
}
