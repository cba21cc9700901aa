package main

import (
	"os"
	"path/filepath"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

const (
	buildFile = "bamboo/bamboo.cfg.xml"
	loginFile = "crowd/shared/crowd.cfg.xml"
)

// builds adds the home directory of Bamboo, whose password is in Base64.
func builds(w *world) {
	require.NoError(w.t, os.CopyFS(filepath.Join(w.dir, "bamboo"), os.DirFS("../../testdata/bamboo")))
	w.edit(buildFile, "YmFtYm9vJ3Mgb3du", "Y2FuYXJ5LWJhbWJvbw==")
}

// logins adds the home directory of Crowd, whose password is sealed.
func logins(w *world) {
	require.NoError(w.t, os.CopyFS(filepath.Join(w.dir, "crowd"), os.DirFS("../../testdata/crowd")))
	keys := filepath.Join(w.dir, "crowd", "shared", "keys", "db")
	entries, err := os.ReadDir(keys)
	require.NoError(w.t, err)
	for _, e := range entries {
		require.NoError(w.t, os.Chmod(filepath.Join(keys, e.Name()), 0o600))
	}
}

// absolute names the files of Crowd's password as the product's guide does.
func absolute(w *world) {
	logins(w)
	w.edit(loginFile, "keys/db", filepath.ToSlash(filepath.Join(w.dir, "crowd", "shared", "keys", "db")))
}

var cipherGoldens = []golden{
	{name: "config-bamboo-reveal", args: []string{"config", "-reveal", "DIR/bamboo"}, given: builds, reveals: true},
	{name: "config-crowd", args: []string{"config", "DIR/crowd"}, given: logins},
	{name: "check-base64", args: []string{"check", "DIR/bamboo"}, given: builds},
	{name: "check-base64-of-plaintext", args: []string{"check", "DIR/bamboo"}, want: ui.StatusFailed,
		given: func(w *world) {
			builds(w)
			w.edit(buildFile, "Y2FuYXJ5LWJhbWJvbw==", "canary-bamboo")
		}},
	{name: "check-sealed", args: []string{"check", "DIR/crowd"}, given: absolute},
	{name: "check-sealed-relative", args: []string{"check", "DIR/crowd/shared"}, given: logins},
	{name: "check-sealed-key-gone", args: []string{"check", "DIR/crowd"}, want: ui.StatusFailed,
		given: func(w *world) {
			absolute(w)
			require.NoError(w.t, os.Remove(filepath.Join(w.dir, "crowd/shared/keys/db/javax.crypto.spec.SecretKeySpec_1629979543")))
		}},
	{name: "check-sealed-open-to-others", args: []string{"check", "DIR/crowd"},
		given: func(w *world) {
			absolute(w)
			require.NoError(w.t, os.Chmod(filepath.Join(w.dir, "crowd/shared/keys/db/javax.crypto.spec.SecretKeySpec_1629979543"), 0o644))
		}},
}
