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

// withBamboo adds the home directory of Bamboo, whose password is in Base64.
func withBamboo(w *fixture) {
	require.NoError(w.t, os.CopyFS(filepath.Join(w.dir, "bamboo"),
		os.DirFS("../../testdata/bamboo")))
	w.edit(buildFile, "YmFtYm9vJ3Mgb3du", "Y2FuYXJ5LWJhbWJvbw==")
}

// withCrowd adds the home directory of Crowd, whose password is encrypted.
func withCrowd(w *fixture) {
	require.NoError(w.t, os.CopyFS(filepath.Join(w.dir, "crowd"), os.DirFS("../../testdata/crowd")))
	keys := filepath.Join(w.dir, "crowd", "shared", "keys", "db")
	entries, err := os.ReadDir(keys)
	require.NoError(w.t, err)
	for _, e := range entries {
		require.NoError(w.t, os.Chmod(filepath.Join(keys, e.Name()), 0o600))
	}
}

// withCrowdAbsolute names the files of Crowd's password by absolute paths, as in the
// product's guide.
func withCrowdAbsolute(w *fixture) {
	withCrowd(w)
	w.edit(loginFile, "keys/db",
		filepath.ToSlash(filepath.Join(w.dir, "crowd", "shared", "keys", "db")))
}

var cipherGoldens = []golden{
	{name: "config-bamboo-reveal", args: []string{"config", "-reveal", "DIR/bamboo"},
		given: withBamboo, reveals: true},
	{name: "config-crowd", args: []string{"config", "DIR/crowd"}, given: withCrowd},
	{name: "check-base64", args: []string{"check", "DIR/bamboo"}, given: withBamboo},
	{name: "check-base64-of-plaintext", args: []string{"check", "DIR/bamboo"},
		want: ui.StatusFailed,
		given: func(w *fixture) {
			withBamboo(w)
			w.edit(buildFile, "Y2FuYXJ5LWJhbWJvbw==", "canary-bamboo")
		}},
	{name: "check-sealed", args: []string{"check", "DIR/crowd"}, given: withCrowdAbsolute},
	{name: "check-sealed-relative", args: []string{"check", "DIR/crowd/shared"}, given: withCrowd},
	{name: "check-sealed-key-gone", args: []string{"check", "DIR/crowd"}, want: ui.StatusFailed,
		given: func(w *fixture) {
			withCrowdAbsolute(w)
			require.NoError(w.t, os.Remove(filepath.Join(w.dir,
				"crowd/shared/keys/db/javax.crypto.spec.SecretKeySpec_1629979543")))
		}},
	{name: "check-sealed-open-to-others", args: []string{"check", "DIR/crowd"},
		given: func(w *fixture) {
			withCrowdAbsolute(w)
			require.NoError(w.t, os.Chmod(filepath.Join(w.dir,
				"crowd/shared/keys/db/javax.crypto.spec.SecretKeySpec_1629979543"), 0o644))
		}},
}
