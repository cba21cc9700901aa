package set

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBackup_uniqueNames(t *testing.T) {
	file, backups := openedFile(t)
	now := time.Now()
	seen := map[string]bool{}
	for range 3 {
		path, err := file.backup(backups, "x", file.text, now)
		require.NoError(t, err)
		seen[path] = true
		assert.Equal(t, oldText, content(t, path))
	}
	assert.Len(t, seen, 3)
}

func TestIsInHome(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "home", "shared"), 0o755))
	file := filepath.Join(dir, "home", "shared", "bitbucket.properties")
	for backups, want := range map[string]bool{
		"home": true, "home/backup/of-today": true, "home/shared": true, "home/..backup": true,
		"home/../backup": false, "homes": false, ".": false, "elsewhere/home": false,
	} {
		assert.Equal(t, want, isInHome(filepath.Join(dir, filepath.FromSlash(backups)), file),
			backups)
	}
	if err := os.Symlink(filepath.Join(dir, "home"), filepath.Join(dir, "link")); err != nil {
		t.Skip(err)
	}
	assert.True(t, isInHome(filepath.Join(dir, "link", "backup"), file))
	assert.True(t, isInHome(filepath.Join(dir, "home", "backup"),
		filepath.Join(dir, "link", "dbconfig.xml")))
}
