package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/storeflags"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func TestKeysPut_keepsEveryByte(t *testing.T) {
	w := newFixture(t)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for name, secret := range map[string]string{
		"empty": "", "newline": "\n", "lines": "canary\r\ntwo\n\n", "spaces": "  canary\t",
		"binary": string(every),
		"longest": strings.Repeat("\x00",
			ui.MaxSecret), "-dash": "canary", "--": "canary", "é\n": "canary",
	} {
		w.must(secret, on("put", "-empty", "--", name)...)
		got := w.do("", false, on("get", "--", name)...)
		assert.Equal(t, outcome{out: secret}, got, name)
	}
}

func TestKeysPut_refusesReferences(t *testing.T) {
	w := newFixture(t)
	keyring(w)
	got := w.do(wikiSecret, false, on("put", "db")...)
	assert.Equal(t, ui.StatusFailed, got.status)
	assert.Contains(t, got.err, "the text is a secret reference, not a secret")
	assert.Equal(t, outcome{out: "canary-db"}, w.do("", false, on("get", "db")...))
}

func TestKeysPut_failureKeepsOldSecret(t *testing.T) {
	w := newFixture(t)
	keyring(w)
	assert.Equal(t, ui.StatusFailed,
		w.do(strings.Repeat("x", ui.MaxSecret+1), false, on("put", "db")...).status)

	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var out, errs strings.Builder
	args := []string{"keys", "-store", w.path("k.db"), "put", "db"}
	assert.Equal(t, ui.StatusInterrupted,
		run(ctx, args, ui.Streams{In: silent{t.Context()}, Out: &out, Err: &errs}))

	broken := ui.Streams{In: brokenPipe{}, Out: &out, Err: &errs}
	assert.Equal(t, ui.StatusFailed, run(t.Context(), args, broken))
	assert.Equal(t, outcome{out: "canary-db"}, w.do("", false, on("get", "db")...))
}

// brokenPipe is an input that fails after some bytes.
type brokenPipe struct{}

func (brokenPipe) Read(p []byte) (int, error) { return copy(p, "half"), errors.New("broken") }

func TestKeys_onlyPutCreatesKeyring(t *testing.T) {
	w := newFixture(t)
	w.write("token", "canary-token-0123456789")
	for _, args := range [][]string{
		on("get", "db"), on("delete",
			"db"), on("names"), on("list"), on("verify"), on("audit"), on("rotate"),
		on("rotate", "-if-older-than",
			"1d"), on("inactive"), on("delete-inactive"), on("change-root"),
		{"resolve", "-store", "DIR/k.db", `{"keyring":"db"}`}, {"check", "-store", "DIR/k.db",
			`{"keyring":"db"}`},
		{"config", "-store", "DIR/k.db", "DIR/jira"}, serving("-addr", "127.0.0.1:0"),
	} {
		got := w.do("", false, args...)
		assert.Equal(t, ui.StatusFailed, got.status, args)
		assert.Contains(t, got.out+got.err, "there is no keyring yet", args)
	}
	for _, file := range []string{"k.db", "k.db.key", "k.db.lock"} {
		assert.NoFileExists(t, w.path(file))
	}
}

func TestKeysRotate_showsProgressOnTerminal(t *testing.T) {
	w := newFixture(t)
	keyring(w)
	var out, errs strings.Builder
	args := []string{"keys", "-store", w.path("k.db"), "rotate"}
	require.Equal(t, ui.StatusOK,
		run(t.Context(), args, ui.Streams{Out: &out, Err: &errs, ErrIsTerminal: true}))
	assert.Equal(t, "\rre-encrypted: 2 of 2\n", errs.String())

	errs.Reset()
	require.Equal(t, ui.StatusOK, run(t.Context(), args, ui.Streams{Out: &out, Err: &errs}))
	assert.Empty(t, errs.String())
}

// interrupter cancels a context when a given text is written.
type interrupter struct {
	bytes.Buffer
	at        string
	interrupt context.CancelFunc
}

func (i *interrupter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), i.at) {
		i.interrupt()
	}
	return i.Buffer.Write(p)
}

func TestKeysRotate_completesInterruptedRotation(t *testing.T) {
	w := newFixture(t)
	// A transaction re-encrypts 4 MiB, so this takes several.
	large := strings.Repeat("x", ui.MaxSecret)
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} {
		w.must(large, on("put", name)...)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	errs := &interrupter{at: "re-encrypted", interrupt: interrupt}
	var out strings.Builder
	args := []string{"keys", "-store", w.path("k.db"), "rotate"}
	require.Equal(t, ui.StatusInterrupted,
		run(ctx, args, ui.Streams{Out: &out, Err: errs, ErrIsTerminal: true}))
	assert.Empty(t, out.String())
	assert.Regexp(t,
		`^\rre-encrypted: (\d) of 9\nsecretref: interrupted: \d secrets re-encrypted with key [0-9a-f]{16} so far; `+
			`nothing is lost, and the next "secretref keys rotate" completes the rotation\n$`, errs.String())

	assert.Contains(t, w.do("", false, on("list")...).out, "retiring")
	assert.Equal(t, ui.StatusOK, w.do("", false, on("verify")...).status)
	assert.Regexp(t, `^rotated from key \w+ to \w+: \d secrets re-encrypted\n$`,
		w.do("", false, on("rotate")...).out)
	assert.NotContains(t, w.do("", false, on("list")...).out, "retiring")
	assert.Equal(t, large, w.do("", false, on("get", "i")...).out)
}

func TestKeysList_jsonParses(t *testing.T) {
	w := newFixture(t)
	rotated(w)
	var keys []struct {
		ID          string
		State       secretref.KeyState
		Secrets     int
		Deactivated *time.Time
	}
	require.NoError(t, json.Unmarshal([]byte(w.do("", false, on("list", "-json")...).out), &keys))
	require.Len(t, keys, 2)
	assert.Equal(t, secretref.KeyInactive, keys[0].State)
	assert.Equal(t, 2, keys[1].Secrets)
	assert.Nil(t, keys[1].Deactivated)
	assert.Equal(t, time.UTC, keys[0].Deactivated.Location())

	lines := strings.Split(strings.TrimSpace(w.do("", false, on("audit", "-json")...).out), "\n")
	require.Len(t, lines, 3)
	var last struct {
		Actor, Outcome string
		Keys           []string
	}
	require.NoError(t, json.Unmarshal([]byte(lines[2]), &last))
	assert.Equal(t, []string{keys[0].ID, keys[1].ID}, last.Keys)
	assert.Equal(t, storeflags.Actor(), last.Actor)
	assert.Equal(t, "done", last.Outcome)
}

func TestKeysChangeRoot_replacesRootKeyFile(t *testing.T) {
	w := newFixture(t)
	keyring(w)
	before, err := os.ReadFile(w.path("k.db.key"))
	require.NoError(t, err)
	w.must("", on("change-root")...)
	after, err := os.ReadFile(w.path("k.db.key"))
	require.NoError(t, err)
	assert.NotEqual(t, before, after)
	assert.Equal(t, outcome{out: "canary-db"}, w.do("", false, on("get", "db")...))

	// From the file next to the store to another one.
	w.must("", "keys", "new-root-key", "DIR/root.key")
	w.must("", on("-root-key-file", "DIR/k.db.key", "change-root", "-new-root-key-file",
		"DIR/root.key")...)
	assert.Equal(t, ui.StatusFailed, w.do("", false, on("get", "db")...).status)
	assert.Equal(t, outcome{out: "canary-db"},
		w.do("", false, on("-root-key-file", "DIR/root.key", "get", "db")...))
	assert.Equal(t, outcome{out: "canary-db"},
		w.do("", false, on("-root-key-file", "DIR/k.db.key", "-previous-root-key-file",
			"DIR/root.key", "get", "db")...))
}

func TestKeysNewRootKey_writesPrivateFile(t *testing.T) {
	w := newFixture(t)
	w.must("", "keys", "new-root-key", "DIR/root.key")
	info, err := os.Stat(w.path("root.key"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	text, err := os.ReadFile(w.path("root.key"))
	require.NoError(t, err)
	assert.Regexp(t, `^[A-Za-z0-9+/]{43}=\n$`, string(text))

	require.Equal(t, ui.StatusFailed,
		w.do("", false, "keys", "new-root-key", "DIR/root.key").status)
	again, err := os.ReadFile(w.path("root.key"))
	require.NoError(t, err)
	assert.Equal(t, text, again)
}

func TestPrintErrors_splitsLocatedErrors(t *testing.T) {
	err := &secretref.Error{Source: "keyring",
		Err: errors.Join(errors.New("one"), errors.New("two"))}
	var b strings.Builder
	printErrors(&b, err)
	assert.Equal(t, "secretref: keyring: one\nsecretref: keyring: two\n", b.String())
}
