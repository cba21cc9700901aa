package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden is one run whose reviewed output is in testdata/NAME.golden.
type golden struct {
	name  string
	given func(w *fixture) // changes the fixture, if not nil
	stdin string
	args  []string
	want  int

	terminal bool
	reveals  bool // standard output may contain secrets
}

const (
	jiraFile      = "jira/dbconfig.xml"
	wikiFile      = "confluence/confluence.cfg.xml"
	codeFile      = "bitbucket/shared/bitbucket.properties"
	trackerSecret = `{"region":"ap-southeast-2","secretId":"tracker/db","secretPointer":"/password"}`
	wikiSecret    = `{"mount":"secret","path":"wiki/db","key":"password","endpoint":"http://VAULT"}`
)

var goldens = slices.Concat(resolveGoldens, configGoldens, pointerGoldens, checkGoldens,
	checkFormGoldens, usageGoldens,
	secretsGoldens, keysGoldens, rootKeyGoldens, storeGoldens, keyringGoldens, serveGoldens,
	setGoldens, execGoldens, cipherGoldens)

var resolveGoldens = []golden{
	{name: "resolve-aws", args: []string{"resolve", "{ENC}" + trackerSecret}, reveals: true},
	{name: "resolve-vault", args: []string{"resolve", wikiSecret}, reveals: true},
	{name: "resolve-on-a-terminal", args: []string{"resolve", wikiSecret}, terminal: true,
		reveals: true},
	{name: "resolve-standard-input", stdin: trackerSecret + "\n", args: []string{"resolve", "-"},
		reveals: true},
	{name: "resolve-plaintext", args: []string{"resolve", "canary-plain"}, reveals: true},
	{name: "resolve-plaintext-strict", args: []string{"resolve", "-strict", "canary-plain"},
		want: ui.StatusFailed},
	{name: "resolve-empty-standard-input", stdin: "\n", args: []string{"resolve", "-"},
		want: ui.StatusFailed},
	{name: "resolve-mistake",
		args: []string{"resolve", `{ENC}{"region":"eu-west-1","secretID":"canary` + "\n" +
			`"}`}, want: ui.StatusFailed},
	{name: "resolve-lost-brace",
		args: []string{"resolve",
			`"region":"eu-west-1","secretId":"canary"}`}, want: ui.StatusFailed},
	{name: "resolve-warning",
		args: []string{"resolve",
			`{"region":"ap-southeast-2","secretId":"tracker/db"}`}, reveals: true},
	{name: "resolve-not-found",
		args: []string{"resolve",
			`{"region":"ap-southeast-2","secretId":"nowhere"}`}, want: ui.StatusFailed},
}

var configGoldens = []golden{
	{name: "config-jira", args: []string{"config", "DIR/jira"}},
	{name: "config-confluence-json", args: []string{"config", "-json", "DIR/confluence"}},
	{name: "config-bitbucket", args: []string{"config", "DIR/bitbucket"}},
	{name: "config-bitbucket-reveal", args: []string{"config", "-reveal", "DIR/bitbucket"},
		reveals: true},
	{name: "config-bitbucket-json-reveal",
		args: []string{"config", "-json", "-reveal", "DIR/bitbucket"}, reveals: true},
	{name: "config-url-with-password", args: []string{"config", "DIR/jira"}, given: urlPassword},
	{name: "config-url-with-password-reveal", args: []string{"config", "-reveal", "DIR/jira"},
		given: urlPassword, reveals: true},
	{name: "config-half", args: []string{"config", "DIR/bitbucket"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.aws.DeleteSecret("ap-southeast-2", "code/search") }},
	{name: "config-half-json", args: []string{"config", "-json", "DIR/bitbucket"},
		want:  ui.StatusFailed,
		given: func(w *fixture) { w.aws.DeleteSecret("ap-southeast-2", "code/db") }},
	{name: "config-plaintext", args: []string{"config", "DIR/jira"}, given: plaintextPassword},
	{name: "config-missing-file", args: []string{"config", "DIR/nowhere"}, want: ui.StatusFailed},
}

var pointerGoldens = []golden{
	{name: "pointer-string", stdin: `{"db": {"password": "caf\u00e9" }}`,
		args: []string{"pointer", "/db/password"}},
	{name: "pointer-object", stdin: `{"db": {"password": "x" }}`, args: []string{"pointer", "/db"}},
	{name: "pointer-missing", stdin: `{"db": {"canary": 1}}`,
		args: []string{"pointer", "/db/password"}, want: ui.StatusFailed},
	{name: "pointer-not-json", stdin: `{"db": canary}`, args: []string{"pointer", "/db"},
		want: ui.StatusFailed},
	{name: "pointer-without-slash", args: []string{"pointer", "password"}, want: ui.StatusFailed},
}

var usageGoldens = []golden{
	{name: "help", args: []string{"help"}},
	{name: "help-check", args: []string{"check", "-h"}},
	{name: "no-command", want: ui.StatusUsage},
	{name: "unknown-command", args: []string{"canary"}, want: ui.StatusUsage},
	{name: "unknown-flag", args: []string{"resolve", "-canary"}, want: ui.StatusUsage},
	{name: "flag-after-path", args: []string{"config", "DIR/jira", "-json"}, want: ui.StatusUsage},
	{name: "timeout-malformed", args: []string{"check", "-timeout", "soon", "DIR/jira"},
		want: ui.StatusUsage},
	{name: "timeout-zero", args: []string{"check", "-timeout", "0s", "DIR/jira"},
		want: ui.StatusUsage},
	{name: "timeout-without-unit",
		args: []string{"keys", "-timeout", "3", "-store", "DIR/k.db",
			"list"}, want: ui.StatusUsage},
	{name: "argument-missing", args: []string{"resolve"}, want: ui.StatusUsage},
	{name: "arguments-unquoted",
		args: []string{"resolve", `{"region":"canary",`, `"secretId":"b"}`}, want: ui.StatusUsage},
}

func TestGolden(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range goldens {
		require.False(t, seen[g.name], "two cases are named %s", g.name)
		seen[g.name] = true
		t.Run(g.name, func(t *testing.T) {
			w := newFixture(t)
			if g.given != nil {
				g.given(w)
			}
			typed := strings.Join(g.args, " ")
			got := w.do(g.stdin, g.terminal, slices.Clone(g.args)...)
			assert.Equal(t, g.want, got.status)
			keepsSecrets(t, w, g, got)

			text := fmt.Sprintf("$ secretref %s\nexit status %d\n--- standard output\n%s--- "+
				"standard error\n%s",
				typed, got.status, ended(w.normal(got.out)), ended(w.normal(got.err)))
			path := filepath.Join("testdata", g.name+".golden")
			if *update {
				require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, strings.ReplaceAll(string(want), "\r\n", "\n"), text)
		})
	}
	if *update {
		return
	}
	files, err := filepath.Glob("testdata/*.golden")
	require.NoError(t, err)
	for _, f := range files {
		assert.True(t, seen[strings.TrimSuffix(filepath.Base(f), ".golden")],
			"%s belongs to no case", f)
	}
}

// keepsSecrets fails if the output contains a secret or credential that it must not.
func keepsSecrets(t *testing.T, w *fixture, g golden, got outcome) {
	t.Helper()
	assert.NotContains(t, got.err, canary)
	if !g.reveals {
		assert.NotContains(t, got.out, canary)
	}
	for _, credential := range w.credentials() {
		if credential = strings.TrimSpace(credential); credential != "" {
			assert.NotContains(t, got.out+got.err, credential)
		}
	}
}

// ended marks an output that does not end in a newline.
func ended(s string) string {
	if s == "" || strings.HasSuffix(s, "\n") {
		return s
	}
	return s + "\n(no newline at the end)\n"
}
