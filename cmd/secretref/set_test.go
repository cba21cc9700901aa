package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func TestSet_cleansTempFilesOfKilledRuns(t *testing.T) {
	for name, given := range map[string]func(*fixture){"while there is something to write": plaintextFiles, "also when there is not": func(*fixture) {}} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			given(w)
			require.NoError(t, os.MkdirAll(w.path("backup"), 0o700))
			for _, dir := range []string{"jira", "backup"} {
				for name, age := range map[string]time.Duration{".dbconfig.xml.secretref-1": 2 * time.Hour,
					".dbconfig.xml.secretref-2": time.Minute, ".other.secretref-3": 2 * time.Hour} {
					w.write(dir+"/"+name, "canary")
					require.NoError(t, os.Chtimes(w.path(dir+"/"+name), time.Now().Add(-age),
						time.Now().Add(-age)))
				}
			}
			args := []string{"set", "-backup-dir", "DIR/backup", "DIR/jira", trackerSecret}
			require.Equal(t, ui.StatusOK,
				w.do("", false, append([]string{"set", "-dry-run"}, args[1:]...)...).status)
			require.Contains(t, dirNames(t, w.path("jira")), ".dbconfig.xml.secretref-1",
				"a dry run removes nothing")
			got := w.do("", false, args...)
			require.Equal(t, ui.StatusOK, got.status, got.err)
			assert.Equal(t, []string{".dbconfig.xml.secretref-2", ".other.secretref-3",
				"dbconfig.xml"}, dirNames(t, w.path("jira")))
			assert.NotContains(t, dirNames(t, w.path("backup")), ".dbconfig.xml.secretref-1")
			for _, dir := range []string{"jira", "backup"} {
				assert.Contains(t, got.out,
					w.path(dir+"/.dbconfig.xml.secretref-2")+" belongs to another run")
			}
		})
	}
}

func TestSet_keepsSymbolicLink(t *testing.T) {
	w := newFixture(t)
	plaintextFiles(w)
	require.NoError(t, os.Mkdir(w.path("elsewhere"), 0o755))
	require.NoError(t, os.Rename(w.path(jiraFile), w.path("elsewhere/real.xml")))
	if err := os.Symlink("../elsewhere/real.xml", w.path(jiraFile)); err != nil {
		t.Skip(err)
	}
	got := w.do("", false, "set", "-backup-dir", "DIR/backup", "DIR/jira", trackerSecret)
	require.Equal(t, ui.StatusOK, got.status, got.err)
	info, err := os.Lstat(w.path(jiraFile))
	require.NoError(t, err)
	assert.Equal(t, fs.ModeSymlink, info.Mode().Type())
	assert.Contains(t, fileText(t, w.path("elsewhere/real.xml")), "tracker/db")
	assert.Equal(t, []string{"real.xml"}, dirNames(t, w.path("elsewhere")))
}

func TestSet_roundTripRestoresFile(t *testing.T) {
	for _, row := range []struct{ file, reference, password string }{
		{jiraFile, trackerSecret, "canary-tracker"}, {wikiFile, wikiSecret,
			"canary-wiki"}, {codeFile, codeSecret, "canary-code"},
	} {
		w := newFixture(t)
		plaintextFiles(w)
		before := fileText(t, w.path(row.file))
		for range 2 { // the second run changes nothing
			got := w.do("", false, "set", "-backup-dir", "DIR/backup", "DIR/"+row.file,
				row.reference)
			require.Equal(t, ui.StatusOK, got.status, got.err)
		}
		assert.NotContains(t, fileText(t, w.path(row.file)), row.password)
		require.Equal(t, ui.StatusOK, w.do("", false, "check", "DIR/"+row.file).status)
		for range 2 {
			got := w.do(row.password+"\n", false, "set", "-backup-dir", "DIR/backup",
				"-plaintext-from", "-", "DIR/"+row.file)
			require.Equal(t, ui.StatusOK, got.status, got.err)
		}
		assert.Equal(t, before, fileText(t, w.path(row.file)))
		backups := dirNames(t, w.path("backup"))
		require.Len(t, backups, 2)
		assert.Equal(t, before, fileText(t, w.path("backup/"+backups[0])))
	}
}

func TestSet_plaintextFromFile(t *testing.T) {
	w := newFixture(t)
	w.write("password", "canary-tracker\r\n")
	require.NoError(t, os.Chmod(w.path("password"), 0o600))
	got := w.do("", false, "set", "-backup-dir", "DIR/backup", "-plaintext-from", "DIR/password",
		"DIR/jira")
	require.Equal(t, ui.StatusOK, got.status, got.err)
	assert.Contains(t, fileText(t, w.path(jiraFile)), "<password>canary-tracker</password>")
}

func TestSet_warnsOfBackupInHomeOfLink(t *testing.T) {
	w := newFixture(t)
	plaintextFiles(w)
	require.NoError(t, os.Mkdir(w.path("elsewhere"), 0o755))
	require.NoError(t, os.Rename(w.path(jiraFile), w.path("elsewhere/dbconfig.xml")))
	if err := os.Symlink("../elsewhere/dbconfig.xml", w.path(jiraFile)); err != nil {
		t.Skip(err)
	}
	got := w.do("", false, "set", "-backup-dir", "DIR/jira/backup", "DIR/jira", trackerSecret)
	require.Equal(t, ui.StatusOK, got.status, got.err)
	assert.Contains(t, got.out, "the backup is in the product's home directory")
}

func TestSetDryRun_writesNothing(t *testing.T) {
	w := newFixture(t)
	plaintextFiles(w)
	before := fileText(t, w.path(jiraFile))
	got := w.do("", false, "set", "-dry-run", "-backup-dir", "DIR/backup", "DIR/jira",
		trackerSecret)
	require.Equal(t, ui.StatusOK, got.status)
	assert.Equal(t, before, fileText(t, w.path(jiraFile)))
	assert.NotContains(t, dirNames(t, w.dir), "backup")
	assert.Equal(t, []string{"dbconfig.xml"}, dirNames(t, w.path("jira")))
}

func TestSet_concurrentRuns(t *testing.T) {
	w := newFixture(t)
	plaintextFiles(w)
	before := fileText(t, w.path(jiraFile))
	const n = 8
	got := make([]outcome, n)
	var all sync.WaitGroup
	for i := range n {
		args := []string{"set", "-backup-dir", "DIR/backup", "DIR/jira", trackerSecret}
		if i%2 == 1 { // another secret with the same password
			w.aws.PutSecret("ap-southeast-2", fmt.Sprint("other", i), "canary-tracker")
			args[4] = fmt.Sprintf(`{"region":"ap-southeast-2","secretId":"other%d"}`, i)
		}
		all.Go(func() { got[i] = w.do("", false, args...) })
	}
	all.Wait()
	changed := 0
	for _, o := range got {
		assert.NotContains(t, o.out+o.err, canary)
		switch {
		case strings.Contains(o.out, "  written "):
			assert.Equal(t, ui.StatusOK, o.status)
			changed++
		case o.status == ui.StatusOK:
			assert.Contains(t, o.out, "nothing to change")
		default:
			assert.Regexp(t, "is changing the file|just replaced it|changed it in the meantime",
				o.err)
		}
	}
	backups := dirNames(t, w.path("backup"))
	require.NotEmpty(t, backups)
	assert.Len(t, backups, changed, "each change has its backup, and nothing else has one")
	slices.Sort(backups)
	assert.Equal(t, before, fileText(t, w.path("backup/"+backups[0])))
	assert.Equal(t, []string{"dbconfig.xml"}, dirNames(t, w.path("jira")))
	assert.Equal(t, ui.StatusOK, w.do("", false, "check", "DIR/jira").status)
}

func fileText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// dirNames lists the names in a directory, which may be missing.
func dirNames(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
