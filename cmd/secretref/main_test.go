package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestOutputThatIsLostIsAFailure(t *testing.T) {
	newWorld(t)
	var errs strings.Builder
	status := run(t.Context(), []string{"resolve", "plain"}, streams{in: strings.NewReader(""), out: full{}, err: &errs})
	assert.Equal(t, statusFailed, status)
	assert.Equal(t, "secretref: the output cannot be written: no space left on device\n", errs.String())
}

// silent is a terminal at which nobody types.
type silent struct{ context.Context }

func (s silent) Read([]byte) (int, error) {
	<-s.Done()
	return 0, io.EOF
}

func TestInterruptEndsTheWaitForInput(t *testing.T) {
	newWorld(t)
	for _, args := range [][]string{{"resolve", "-"}, {"pointer", "/a"}} {
		ctx, interrupt := context.WithCancel(t.Context())
		interrupt()
		var out, errs strings.Builder
		status := run(ctx, args, streams{in: silent{t.Context()}, out: &out, err: &errs})
		assert.Equal(t, statusInterrupted, status)
		assert.Empty(t, out.String())
		assert.Equal(t, "secretref: standard input was not read: context canceled\n", errs.String())
	}
}

func TestInterruptEndsAFetch(t *testing.T) {
	newWorld(t)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	for _, command := range []string{"resolve", "check"} {
		var out, errs strings.Builder
		status := run(ctx, []string{command, trackerSecret}, streams{out: &out, err: &errs})
		assert.Equal(t, statusInterrupted, status)
		assert.Contains(t, out.String()+errs.String(), "no answer before the caller's context ended")
	}
}

// endless is an input without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestInputIsBounded(t *testing.T) {
	_, err := readAll(t.Context(), endless{}, maxInput)
	assert.EqualError(t, err, "standard input is longer than 16 MiB")
}

func TestOneNewlineAtTheEndOfInputIsNotPartOfTheValue(t *testing.T) {
	for typed, want := range map[string]string{
		"":             "",
		"value":        "value",
		"value\n":      "value",
		"value\r\n":    "value",
		"value\n\n":    "value\n",
		"value\r":      "value\r",
		" value \n":    " value ",
		"\nvalue\r\n":  "\nvalue",
		"two\nlines\n": "two\nlines",
	} {
		got, err := readLine(t.Context(), strings.NewReader(typed))
		require.NoError(t, err)
		assert.Equal(t, want, got, "%q", typed)
	}
}

func TestSecretThatJSONWouldAlterIsRefused(t *testing.T) {
	w := newWorld(t)
	w.aws.PutBinary("ap-southeast-2", "code/search", []byte("canary\xff"))
	got := w.do("", false, "config", "-json", "-reveal", "DIR/bitbucket")
	assert.Equal(t, statusFailed, got.status)
	assert.Empty(t, got.out)
	assert.Equal(t, "secretref: the secret of plugin.search.config.password is not UTF-8 and cannot be written as JSON: use \"secretref resolve\"\n", got.err)

	got = w.do("", false, "resolve", `{"region":"ap-southeast-2","secretId":"code/search"}`)
	assert.Equal(t, outcome{out: "canary\xff"}, got)
}

func TestJSONOfConfigIsReadBack(t *testing.T) {
	w := newWorld(t)
	got := w.do("", false, "config", "-json", "-reveal", "DIR/confluence")
	require.Equal(t, statusOK, got.status)
	var r report
	require.NoError(t, json.Unmarshal([]byte(got.out), &r))
	require.NotNil(t, r.Password)
	assert.Equal(t, "canary-wiki", *r.Password)
	assert.Equal(t, "wiki", r.Username)
}

func TestVersionNamesReleaseAndCommit(t *testing.T) {
	built := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "0123abc"}
	for _, c := range []struct {
		set  string
		info *debug.BuildInfo
		want string
	}{
		{"", nil, "(unknown)"},
		{"v1.2.3", nil, "v1.2.3"},
		{"", built(""), "(devel)"},
		{"", built("v1.2.3"), "v1.2.3"},
		{"v1.3.0", built("v1.2.3", commit), "v1.3.0 (commit 0123abc)"},
		{"", built("", commit, debug.BuildSetting{Key: "vcs.time", Value: "2026-11-20T21:00:56Z"}, debug.BuildSetting{Key: "vcs.modified", Value: "true"}),
			"(devel) (commit 0123abc of 2026-11-20T21:00:56Z, modified)"},
	} {
		assert.Equal(t, c.want, describe(c.set, c.info))
	}

	w := newWorld(t)
	got := w.do("", false, "version")
	assert.Equal(t, statusOK, got.status)
	assert.Regexp(t, `^secretref \S.* go1\.\S+ \w+/\w+\n$`, got.out)
}

func TestJoinedErrorsAreALineEach(t *testing.T) {
	hidden := fmt.Errorf("kind%w%w", errors.New(""), errors.New(canary+"\n"))
	hidden = quiet{hidden}
	err := errors.Join(errors.New("secretref: one"), errors.Join(errors.New("two"), hidden), nil)
	var b strings.Builder
	complain(&b, err)
	assert.Equal(t, "secretref: one\nsecretref: two\nsecretref: said\\nin two lines\n", b.String())
}

// quiet has causes that its text leaves out, as the library's errors have.
type quiet struct{ error }

func (quiet) Error() string     { return "said\nin two lines" }
func (q quiet) Unwrap() []error { return []error{q.error} }

func TestWarningsAreALineEach(t *testing.T) {
	var b strings.Builder
	log := warnings(&b)
	log.Info("left out")
	log.With("source", "value 1").WithGroup("g").Warn("careful", "reference", "", "line", slog.IntValue(3))
	log.Warn("bare")
	assert.Equal(t, "secretref: warning: careful (source value 1, line 3)\nsecretref: warning: bare\n", b.String())
}

func TestTextThatATerminalWouldObeyIsQuoted(t *testing.T) {
	for text, want := range map[string]string{
		"plain é ✓":  "plain é ✓",
		"\x1b[2Jred": `"\x1b[2Jred"`,
		"two\nlines": `"two\nlines"`,
		"\xff":       `"\xff"`,
		"\u202eabc":  `"\u202eabc"`,
	} {
		assert.Equal(t, want, printable(text))
	}
}

func TestMembersAreNamedNearestToTheMiss(t *testing.T) {
	w := newWorld(t)
	w.aws.PutSecret("eu-west-1", "deep", `{"a/b":{"c":[{"d":{"e":"canary"}}]},"canary-free":"x"}`)
	for pointer, want := range map[string]string{
		"/a~1b/c/0/d/password": `at "/a~1b/c/0/d" it has "e"`,
		"/a~1b/c/1/d":          `at "/a~1b" it has "c"`,
		"/nothing/here":        `it has "a/b", "canary-free"`,
		"/a~1b/c/0/d/e/f":      `at "/a~1b/c/0/d" it has "e"`,
	} {
		got := w.do("", false, "check", fmt.Sprintf(`{"region":"eu-west-1","secretId":"deep","secretPointer":%q}`, pointer))
		assert.Equal(t, statusFailed, got.status)
		assert.Contains(t, got.out, want)
	}
}

func TestLongListsOfMembersAreCut(t *testing.T) {
	names := make([]string, 25)
	for i := range names {
		names[i] = fmt.Sprint("n", i)
	}
	assert.Regexp(t, `^it has "n0", .*"n19" and 5 more$`, listed("", names))
	assert.Equal(t, `at "/a" it has "n0"`, listed("/a", names[:1]))
}

func TestCheckAsksEachStoreOnlyWhenNeeded(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, statusOK, w.do("", false, "check", "DIR/confluence").status)
	assert.Zero(t, w.aws.Calls())
	assert.Empty(t, w.aws.STSRequests())

	w = newWorld(t)
	require.Equal(t, statusOK, w.do("", false, "check", "DIR/jira").status)
	assert.Zero(t, w.vault.Calls())
	assert.Len(t, w.aws.STSRequests(), 1)

	w = newWorld(t)
	require.Equal(t, statusFailed, w.do("", false, "check", `{"region":"eu-west-1"}`, "plain").status)
	assert.Zero(t, w.aws.Calls()+w.vault.Calls()+len(w.aws.STSRequests()))
}

func TestSourceOfCredentialsIsExplained(t *testing.T) {
	assert.Equal(t, "the shared files (SharedConfigCredentials: /home/a/.aws/credentials)", source("SharedConfigCredentials: /home/a/.aws/credentials"))
	assert.Equal(t, "SomethingNew", source("SomethingNew"))
}
