package main

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func TestStoreFlags_environmentDefaults(t *testing.T) {
	w := newFixture(t)
	rooted(w)
	t.Setenv("SECRETREF_ROOT_KEY_FILE", w.path("root.key"))
	// needs no keyring
	assert.Equal(t, outcome{out: "canary-tracker"}, w.do("", false, "resolve", trackerSecret))
	assert.Equal(t, ui.StatusUsage, w.do("", false, "keys", "get", "db").status)
	t.Setenv("SECRETREF_STORE", w.path("k.db"))
	assert.Equal(t, outcome{out: "canary-db"}, w.do("", false, "keys", "get", "db"))
	assert.Equal(t, outcome{out: "canary-db"}, w.do("", false, "resolve", `{"keyring":"db"}`))
	assert.Contains(t, w.do("", false, "keys", "-store", "DIR/nowhere.db", "get", "db").err,
		"nowhere.db: not found")
}

func TestStoreFlags_reportsAbsentPasswordFile(t *testing.T) {
	w := newFixture(t)
	w.must("", "keys", "new-root-key", "DIR/root.key")
	failed := w.do("", false, "keys", "-store", "postgres://app@127.0.0.1:1/k", "-root-key-file",
		"DIR/root.key",
		"-store-password-file", "DIR/password", "list")
	assert.Equal(t, ui.StatusFailed, failed.status)
	assert.Contains(t, failed.err, "password: no such file or directory")
}
