package secretref_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore"
)

func TestAuditLog(t *testing.T) {
	path := keyringPath(t)
	var told []secretref.AuditEvent
	var logged bytes.Buffer
	k := openKeyring(t, path, &secretref.KeyringOptions{
		Audit:  func(_ context.Context, e secretref.AuditEvent) { told = append(told, e) },
		Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	put(t, k, "a", canary)
	ctx := secretref.WithActor(t.Context(), "alice")
	_, err := k.Rotate(ctx)
	require.NoError(t, err)
	_, err = k.DeleteInactive(secretref.WithActor(t.Context(), "bob"))
	require.NoError(t, err)
	require.NoError(t, k.ChangeRootKey(ctx, secretref.NewRootKey()))
	require.ErrorIs(t, k.ChangeRootKey(ctx, secretref.NewSecret(canary)), secretref.ErrRootKey)
	damageRecord(t, path, "a")
	_, err = k.Rotate(ctx)
	require.ErrorIs(t, err, secretref.ErrRotationBlocked)
	lease, err := boltstore.New(path).Acquire(t.Context())
	require.NoError(t, err)
	_, err = k.Rotate(ctx)
	require.ErrorIs(t, err, secretref.ErrRotationInProgress)
	lease.Release(t.Context())

	want := []string{" create done 1", "alice rotate started 2", "alice rotate done 2",
		"bob delete-inactive done 1",
		"alice change-root done 1", "alice change-root refused 0", "alice rotate refused 1",
		"alice rotate refused 0"}
	line := func(e secretref.AuditEvent) string {
		assert.WithinDuration(t, time.Now(), e.Time, time.Minute)
		assert.NotContains(t, fmt.Sprintf("%+v", e), canary)
		return fmt.Sprintf("%s %s %s %d", e.Actor, e.Action, e.Outcome, len(e.Keys))
	}
	var log, callback []string
	for e, err := range openKeyring(t, path, nil).AuditLog(t.Context()) {
		require.NoError(t, err)
		log = append(log, line(e))
	}
	for _, e := range told {
		callback = append(callback, line(e))
	}
	assert.Equal(t, want, log)
	assert.Equal(t, want, callback)
	assert.Contains(t, logged.String(), "alice")
	assert.NotContains(t, logged.String(), canary)
}
