package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	oldText = "# old\njdbc.password=canary-old\n"
	newText = "# new\njdbc.password=canary-new\n"
)

// openedFile writes a file and opens it as set does.
func openedFile(t *testing.T) (file *target, backups string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "home", "bitbucket.properties")
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(oldText), 0o640))
	file, err := openTarget(path, true)
	require.NoError(t, err)
	t.Cleanup(file.release)
	return file, filepath.Join(dir, "backups", "of-today")
}

// steps are those of a replacement that succeeds.
func steps(t *testing.T) []string {
	t.Helper()
	var names []string
	file, backups := openedFile(t)
	file.before = func(step string) error {
		names = append(names, step)
		return nil
	}
	_, err := file.replace([]byte(newText), backups, time.Now())
	require.NoError(t, err)
	require.Contains(t, names, "rename")
	return names
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// namesIn lists the names in a directory, which need not be there.
func namesIn(t *testing.T, dir string) []string {
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

func TestAFileIsReplacedAfterItWasCopied(t *testing.T) {
	file, backups := openedFile(t)
	now := time.Date(2026, 11, 21, 17, 4, 5, 678_900_000, time.FixedZone("", 3600))
	done, err := file.replace([]byte(newText), backups, now)
	require.NoError(t, err)
	copied := filepath.Join(backups, "bitbucket.properties.20261121T160405.678Z")
	assert.Equal(t, replacement{copied: copied}, done)
	assert.Equal(t, newText, content(t, file.path))
	assert.Equal(t, oldText, content(t, copied))
	assert.Equal(t, []string{"bitbucket.properties"}, namesIn(t, filepath.Dir(file.path)))
	assert.Equal(t, []string{filepath.Base(copied)}, namesIn(t, backups))
	if runtime.GOOS != "windows" {
		mode := func(path string) fs.FileMode {
			info, err := os.Stat(path)
			require.NoError(t, err)
			return info.Mode().Perm()
		}
		assert.Equal(t, fs.FileMode(0o640), mode(file.path))
		assert.Equal(t, fs.FileMode(0o600), mode(copied))
		assert.Equal(t, fs.FileMode(0o700), mode(backups))
	}
}

func TestBackupsOfOneMomentHaveNamesOfTheirOwn(t *testing.T) {
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

func TestAStepThatFailsLeavesTheFileAsItWas(t *testing.T) {
	all := steps(t)
	for _, name := range all {
		t.Run(name, func(t *testing.T) {
			broken := errors.New("broken")
			file, backups := openedFile(t)
			file.before = func(step string) error {
				if step == name {
					return broken
				}
				return nil
			}
			done, err := file.replace([]byte(newText), backups, time.Now())
			if slices.Index(all, name) > slices.Index(all, "rename") {
				assert.Equal(t, newText, content(t, file.path))
				assert.Equal(t, oldText, content(t, done.copied))
			}
			switch name {
			case "remove":
				require.NoError(t, err)
				assert.Contains(t, done.left, temporaryMark)
				return
			case "sync directory": // the file is replaced, and perhaps not for good
				require.ErrorIs(t, err, broken)
				require.ErrorContains(t, err, done.copied)
				_, ok := errors.AsType[*unchangedError](err)
				assert.False(t, ok)
				assert.Equal(t, []string{"bitbucket.properties"}, namesIn(t, filepath.Dir(file.path)), "nothing is left behind")
				return
			}
			require.ErrorIs(t, err, broken)
			assert.Empty(t, done.copied)
			assert.Equal(t, []string{"bitbucket.properties"}, namesIn(t, filepath.Dir(file.path)), "nothing is left behind")
			unchanged, ok := errors.AsType[*unchangedError](err)
			require.True(t, ok)
			assert.Contains(t, unchanged.Error(), "nothing was changed")
			assert.Equal(t, oldText, content(t, file.path))
			assert.Empty(t, namesIn(t, backups))
		})
	}
}

func TestWhatMendsAFailureIsSaid(t *testing.T) {
	for _, row := range []struct {
		step string
		err  error
		says string
	}{
		{"create", &fs.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, "must be writable"},
		{"rename", &os.LinkError{Op: "rename", Err: syscall.EBUSY}, "mounted by itself"},
		{"rename", &os.LinkError{Op: "rename", Err: syscall.EPERM}, "immutable"},
	} {
		file, backups := openedFile(t)
		file.before = func(s string) error {
			if s == row.step {
				return row.err
			}
			return nil
		}
		_, err := file.replace([]byte(newText), backups, time.Now())
		require.ErrorIs(t, err, row.err)
		assert.ErrorContains(t, err, row.says)
	}
}

func TestAFileThatSomebodyElseChangesIsLeftToThem(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"written to": func(path string) error { return os.WriteFile(path, []byte("theirs"), 0o600) },
		"replaced by one that says the same": func(path string) error {
			return errors.Join(os.WriteFile(path+"2", []byte(oldText), 0o600), os.Rename(path+"2", path))
		},
		"removed": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			file, backups := openedFile(t)
			file.before = func(step string) error {
				if step == "compare" {
					return change(file.path)
				}
				return nil
			}
			_, err := file.replace([]byte(newText), backups, time.Now())
			kept := namesIn(t, backups)
			require.Len(t, kept, 1, "nobody else may have a copy")
			require.ErrorContains(t, err, kept[0])
			assert.Equal(t, oldText, content(t, filepath.Join(backups, kept[0])))
			for _, name := range namesIn(t, filepath.Dir(file.path)) {
				assert.NotEqual(t, newText, content(t, filepath.Join(filepath.Dir(file.path), name)))
			}
		})
	}
}

func TestWhatAKilledRunLeftIsSweptUpLater(t *testing.T) {
	for name, given := range map[string]func(*world){"while there is something to write": plainWorld, "also when there is not": func(*world) {}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			given(w)
			require.NoError(t, os.MkdirAll(w.path("backup"), 0o700))
			for _, dir := range []string{"jira", "backup"} {
				for name, age := range map[string]time.Duration{".dbconfig.xml.secretref-1": 2 * time.Hour, ".dbconfig.xml.secretref-2": time.Minute, ".other.secretref-3": 2 * time.Hour} {
					w.write(dir+"/"+name, "canary")
					require.NoError(t, os.Chtimes(w.path(dir+"/"+name), time.Now().Add(-age), time.Now().Add(-age)))
				}
			}
			args := []string{"set", "-backup-dir", "DIR/backup", "DIR/jira", trackerSecret}
			require.Equal(t, statusOK, w.do("", false, append([]string{"set", "-dry-run"}, args[1:]...)...).status)
			require.Contains(t, namesIn(t, w.path("jira")), ".dbconfig.xml.secretref-1", "a dry run removes nothing")
			got := w.do("", false, args...)
			require.Equal(t, statusOK, got.status, got.err)
			assert.Equal(t, []string{".dbconfig.xml.secretref-2", ".other.secretref-3", "dbconfig.xml"}, namesIn(t, w.path("jira")))
			assert.NotContains(t, namesIn(t, w.path("backup")), ".dbconfig.xml.secretref-1")
			for _, dir := range []string{"jira", "backup"} {
				assert.Contains(t, got.out, w.path(dir+"/.dbconfig.xml.secretref-2")+" is of another run")
			}
		})
	}
}

func TestASymbolicLinkStaysOne(t *testing.T) {
	w := newWorld(t)
	plainWorld(w)
	require.NoError(t, os.Mkdir(w.path("elsewhere"), 0o755))
	require.NoError(t, os.Rename(w.path(jiraFile), w.path("elsewhere/real.xml")))
	if err := os.Symlink("../elsewhere/real.xml", w.path(jiraFile)); err != nil {
		t.Skip(err)
	}
	got := w.do("", false, "set", "-backup-dir", "DIR/backup", "DIR/jira", trackerSecret)
	require.Equal(t, statusOK, got.status, got.err)
	info, err := os.Lstat(w.path(jiraFile))
	require.NoError(t, err)
	assert.Equal(t, fs.ModeSymlink, info.Mode().Type())
	assert.Contains(t, content(t, w.path("elsewhere/real.xml")), "tracker/db")
	assert.Equal(t, []string{"real.xml"}, namesIn(t, w.path("elsewhere")))
}

func TestSetAndBackGivesTheSameFile(t *testing.T) {
	for _, row := range []struct{ file, reference, password string }{
		{jiraFile, trackerSecret, "canary-tracker"}, {wikiFile, wikiSecret, "canary-wiki"}, {codeFile, codeSecret, "canary-code"},
	} {
		w := newWorld(t)
		plainWorld(w)
		before := content(t, w.path(row.file))
		for range 2 { // in both directions the second time changes nothing
			got := w.do("", false, "set", "-backup-dir", "DIR/backup", "DIR/"+row.file, row.reference)
			require.Equal(t, statusOK, got.status, got.err)
		}
		assert.NotContains(t, content(t, w.path(row.file)), row.password)
		require.Equal(t, statusOK, w.do("", false, "check", "DIR/"+row.file).status)
		for range 2 {
			got := w.do(row.password+"\n", false, "set", "-backup-dir", "DIR/backup", "-plaintext-from", "-", "DIR/"+row.file)
			require.Equal(t, statusOK, got.status, got.err)
		}
		assert.Equal(t, before, content(t, w.path(row.file)))
		backups := namesIn(t, w.path("backup"))
		require.Len(t, backups, 2)
		assert.Equal(t, before, content(t, w.path("backup/"+backups[0])))
	}
}

func TestThePasswordCanComeFromAFile(t *testing.T) {
	w := newWorld(t)
	w.write("password", "canary-tracker\r\n")
	require.NoError(t, os.Chmod(w.path("password"), 0o600))
	got := w.do("", false, "set", "-backup-dir", "DIR/backup", "-plaintext-from", "DIR/password", "DIR/jira")
	require.Equal(t, statusOK, got.status, got.err)
	assert.Contains(t, content(t, w.path(jiraFile)), "<password>canary-tracker</password>")
}

func TestABackupInTheHomeDirectoryIsNoticed(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "home", "shared"), 0o755))
	file := filepath.Join(dir, "home", "shared", "bitbucket.properties")
	for backups, want := range map[string]bool{
		"home": true, "home/backup/of-today": true, "home/shared": true, "home/..backup": true,
		"home/../backup": false, "homes": false, ".": false, "elsewhere/home": false,
	} {
		assert.Equal(t, want, inHome(filepath.Join(dir, filepath.FromSlash(backups)), file), backups)
	}
	if err := os.Symlink(filepath.Join(dir, "home"), filepath.Join(dir, "link")); err != nil {
		t.Skip(err)
	}
	assert.True(t, inHome(filepath.Join(dir, "link", "backup"), file))
	assert.True(t, inHome(filepath.Join(dir, "home", "backup"), filepath.Join(dir, "link", "dbconfig.xml")))
}

func TestTheHomeIsAlsoWhereALinkToTheFileIs(t *testing.T) {
	w := newWorld(t)
	plainWorld(w)
	require.NoError(t, os.Mkdir(w.path("elsewhere"), 0o755))
	require.NoError(t, os.Rename(w.path(jiraFile), w.path("elsewhere/dbconfig.xml")))
	if err := os.Symlink("../elsewhere/dbconfig.xml", w.path(jiraFile)); err != nil {
		t.Skip(err)
	}
	got := w.do("", false, "set", "-backup-dir", "DIR/jira/backup", "DIR/jira", trackerSecret)
	require.Equal(t, statusOK, got.status, got.err)
	assert.Contains(t, got.out, "the backup is in the product's home directory")
}

func TestOnlyABuildNumberIsPrinted(t *testing.T) {
	assert.Equal(t, " (the file is of build 9012)", ofBuild(" 9012\n"))
	assert.Empty(t, ofBuild("canary"))
	assert.Empty(t, ofBuild(""))
}

func TestADryRunWritesNothing(t *testing.T) {
	w := newWorld(t)
	plainWorld(w)
	before := content(t, w.path(jiraFile))
	got := w.do("", false, "set", "-dry-run", "-backup-dir", "DIR/backup", "DIR/jira", trackerSecret)
	require.Equal(t, statusOK, got.status)
	assert.Equal(t, before, content(t, w.path(jiraFile)))
	assert.NotContains(t, namesIn(t, w.dir), "backup")
	assert.Equal(t, []string{"dbconfig.xml"}, namesIn(t, w.path("jira")))
}

func TestOfTwoSetsAtTheSameTimeOneWins(t *testing.T) {
	w := newWorld(t)
	plainWorld(w)
	before := content(t, w.path(jiraFile))
	const n = 8
	got := make([]outcome, n)
	var all sync.WaitGroup
	for i := range n {
		args := []string{"set", "-backup-dir", "DIR/backup", "DIR/jira", trackerSecret}
		if i%2 == 1 { // to another secret with the same password
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
			assert.Equal(t, statusOK, o.status)
			changed++
		case o.status == statusOK:
			assert.Contains(t, o.out, "nothing to change")
		default:
			assert.Regexp(t, "is changing it|just replaced it|changed it meanwhile", o.err)
		}
	}
	backups := namesIn(t, w.path("backup"))
	require.NotEmpty(t, backups)
	assert.Len(t, backups, changed, "each change has its backup, and nothing else has one")
	slices.Sort(backups)
	assert.Equal(t, before, content(t, w.path("backup/"+backups[0])))
	assert.Equal(t, []string{"dbconfig.xml"}, namesIn(t, w.path("jira")))
	assert.Equal(t, statusOK, w.do("", false, "check", "DIR/jira").status)
}
