package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// hostile clears the screen, hides and reverses text, and starts a new line, each in a
// way that some filters miss.
const hostile = "x\x1b[2J\u009b2J\u202e\u200b\r\nforged: ok\tx\x7f\U000e0041"

// onlyText fails if a text would control a terminal.
func onlyText(t *testing.T, text string) {
	t.Helper()
	for _, line := range strings.Split(text, "\n") {
		assert.False(t, strings.HasPrefix(line, "forged"), "%q", text)
		assert.Equal(t, -1, strings.IndexFunc(line,
			func(r rune) bool { return !unicode.IsPrint(r) }), "%q", line)
	}
	assert.Contains(t, text, "forged", "the text does not contain the hostile text")
}

// hostileKeyring has hostile names, one of them damaged, and a hostile actor.
func hostileKeyring(w *fixture) {
	rotated(w)
	w.must("canary", on("put", "--", hostile)...)
	k, err := secretref.OpenKeyring(w.t.Context(), secretref.FileStore(w.path("k.db")), nil)
	require.NoError(w.t, err)
	defer k.Close()
	_, err = k.Rotate(secretref.WithActor(w.t.Context(), hostile))
	require.NoError(w.t, err)
}

func hostileAndDamaged(w *fixture) {
	hostileKeyring(w)
	damageSecret(w, hostile)
}

// hostileFile creates DIR/h…/bitbucket.properties with hostile keys, coordinates and
// path.
func hostileFile(w *fixture) string {
	home := filepath.Join(w.dir, "h"+strings.ReplaceAll(hostile, "/", ""))
	require.NoError(w.t, os.Mkdir(home, 0o700))
	escaped := strings.NewReplacer("\x1b", `\u001b`, "\u009b", `\u009b`, "\u202e", `\u202e`,
		"\u200b", `\u200b`, "\r", `\r`, "\n", `\n`,
		"\x7f", `\u007f`, "\t", `\t`, ":", `\:`, " ", `\ `, "\U000e0041", `\udb40\udc41`).Replace(hostile)
	file := "jdbc.user=" + escaped + "\njdbc.url=jdbc:postgresql://db/" + escaped +
		"\njdbc.password={ENC}" + trackerSecret +
		"\n" + escaped + "={ENC}" +
		strings.ReplaceAll(trackerSecret, "tracker/db", `nowhere\\u202eforged`) +
		"\n" + escaped + "2=" + trackerSecret +
		"\nencrypted-property.cipher.classname=com.atlassian.secrets.store.aws.AwsSecretsManagerStore\n"
	require.NoError(w.t, os.WriteFile(filepath.Join(home, "bitbucket.properties"), []byte(file),
		0o600))
	return home
}

func TestPrinting_escapesUntrustedText(t *testing.T) {
	w := newFixture(t)
	home := hostileFile(w)
	file := filepath.Join(home, "bitbucket.properties")
	hostileAndDamaged(w)
	reference := `{"mount":"secret","path":"wiki/\u202e\u200bforged","key":"k","endpoint":"http://VAULT"}`
	for name, args := range map[string][]string{
		"config":        {"config", home},
		"config reveal": {"config", "-reveal", home},
		"config file":   {"config", home + "/nowhere"},
		"check":         {"check", home},
		"check file":    {"check", file, file + ".xml"},
		"check value":   {"check", reference},
		"resolve":       {"resolve", reference},
		"exec":          {"exec", "-only", "HOSTILE", "--", "false"},
		"exec command":  {"exec", "-only", "HOSTILE2", "--", hostile},
		"set":           {"set", "-backup-dir", home + "/backup", home, trackerSecret},
		"set dry run": {"set", "-dry-run", home,
			`{"region":"ap-southeast-2","secretId":"\u202eforged"}`},
		"set key":             {"set", "-dry-run", "-key", hostile, home, trackerSecret},
		"set absent key":      {"set", "-dry-run", "-key", hostile + "3", home, trackerSecret},
		"names":               on("names"),
		"audit":               on("audit"),
		"verify":              on("verify"),
		"rotate":              on("rotate"),
		"get":                 on("get", "--", hostile),
		"get absent":          on("get", "--", hostile+"2"),
		"delete absent":       on("delete", "--", hostile+"2"),
		"new-root-key":        {"keys", "new-root-key", filepath.Join(w.dir, "root"+hostile)},
		"new-root-key exists": {"keys", "new-root-key", filepath.Join(w.dir, "root"+hostile)},
		"no store":            {"keys", "-store", hostile, "list"},
		"no root key":         on("-root-key-file", hostile, "list"),
		"put in new store":    {"keys", "-store", filepath.Join(w.dir, "new"+hostile), "put", "x"},
		"serve": {"serve", "-store", "DIR/k.db", "-token-file", hostile, "-addr",
			"127.0.0.1:0"},
		"class": {"set", "-dry-run", "-class", "com.example." + hostile, home,
			trackerSecret},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("HOSTILE", w.fill(reference))
			if name == "exec command" {
				t.Setenv("HOSTILE2", "x")
			}
			got := w.do("canary", false, args...)
			if name != "class" {
				onlyText(t, got.out+got.err)
			}
		})
	}
}

func TestPrinting_jsonIsExactAndPrintable(t *testing.T) {
	w := newFixture(t)
	home := hostileFile(w)
	hostileKeyring(w)
	config := w.do("", false, "config", "-json", home).out
	onlyText(t, config)
	var r configJSON
	require.NoError(t, json.Unmarshal([]byte(config), &r))
	assert.Equal(t, hostile, r.Username)
	assert.Contains(t, r.Secrets, hostile)

	audit := w.do("", false, on("audit", "-json")...).out
	onlyText(t, audit)
	lines := strings.Split(strings.TrimSpace(audit), "\n")
	var e struct{ Actor string }
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &e))
	assert.Equal(t, hostile, e.Actor)
}

func TestPrinting_secretsAreVerbatim(t *testing.T) {
	w := newFixture(t)
	w.must(hostile+"\xff", on("put", "x")...)
	assert.Equal(t, hostile+"\xff", w.do("", false, on("get", "x")...).out)
	assert.Equal(t, hostile, w.do(hostile, false, "resolve", "-").out)
	assert.Equal(t, "\"\u202e\"\n", w.do("[\"\u202e\"]", false, "pointer", "/0").out)
}
