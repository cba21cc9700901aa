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

var goldens = slices.Concat(resolveGoldens, configGoldens, pointerGoldens, checkGoldens, checkFormGoldens, usageGoldens,
	secretsGoldens, keysGoldens, rootKeyGoldens, storeGoldens, keyringGoldens, serveGoldens, setGoldens, execGoldens, cipherGoldens)

var resolveGoldens = []golden{
	{name: "resolve-aws", args: []string{"resolve", "{ENC}" + trackerSecret}, reveals: true},
	{name: "resolve-vault", args: []string{"resolve", wikiSecret}, reveals: true},
	{name: "resolve-on-a-terminal", args: []string{"resolve", wikiSecret}, terminal: true, reveals: true},
	{name: "resolve-standard-input", stdin: trackerSecret + "\n", args: []string{"resolve", "-"}, reveals: true},
	{name: "resolve-plaintext", args: []string{"resolve", "canary-plain"}, reveals: true},
	{name: "resolve-plaintext-strict", args: []string{"resolve", "-strict", "canary-plain"}, want: ui.StatusFailed},
	{name: "resolve-empty-standard-input", stdin: "\n", args: []string{"resolve", "-"}, want: ui.StatusFailed},
	{name: "resolve-mistake", args: []string{"resolve", `{ENC}{"region":"eu-west-1","secretID":"canary` + "\n" + `"}`}, want: ui.StatusFailed},
	{name: "resolve-lost-brace", args: []string{"resolve", `"region":"eu-west-1","secretId":"canary"}`}, want: ui.StatusFailed},
	{name: "resolve-warning", args: []string{"resolve", `{"region":"ap-southeast-2","secretId":"tracker/db"}`}, reveals: true},
	{name: "resolve-not-found", args: []string{"resolve", `{"region":"ap-southeast-2","secretId":"nowhere"}`}, want: ui.StatusFailed},
}

var configGoldens = []golden{
	{name: "config-jira", args: []string{"config", "DIR/jira"}},
	{name: "config-confluence-json", args: []string{"config", "-json", "DIR/confluence"}},
	{name: "config-bitbucket", args: []string{"config", "DIR/bitbucket"}},
	{name: "config-bitbucket-reveal", args: []string{"config", "-reveal", "DIR/bitbucket"}, reveals: true},
	{name: "config-bitbucket-json-reveal", args: []string{"config", "-json", "-reveal", "DIR/bitbucket"}, reveals: true},
	{name: "config-url-with-password", args: []string{"config", "DIR/jira"}, given: urlPassword},
	{name: "config-url-with-password-reveal", args: []string{"config", "-reveal", "DIR/jira"}, given: urlPassword, reveals: true},
	{name: "config-half", args: []string{"config", "DIR/bitbucket"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.aws.DeleteSecret("ap-southeast-2", "code/search") }},
	{name: "config-half-json", args: []string{"config", "-json", "DIR/bitbucket"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.aws.DeleteSecret("ap-southeast-2", "code/db") }},
	{name: "config-plaintext", args: []string{"config", "DIR/jira"}, given: plaintextPassword},
	{name: "config-missing-file", args: []string{"config", "DIR/nowhere"}, want: ui.StatusFailed},
}

var pointerGoldens = []golden{
	{name: "pointer-string", stdin: `{"db": {"password": "caf\u00e9" }}`, args: []string{"pointer", "/db/password"}},
	{name: "pointer-object", stdin: `{"db": {"password": "x" }}`, args: []string{"pointer", "/db"}},
	{name: "pointer-missing", stdin: `{"db": {"canary": 1}}`, args: []string{"pointer", "/db/password"}, want: ui.StatusFailed},
	{name: "pointer-not-json", stdin: `{"db": canary}`, args: []string{"pointer", "/db"}, want: ui.StatusFailed},
	{name: "pointer-without-slash", args: []string{"pointer", "password"}, want: ui.StatusFailed},
}

var checkGoldens = []golden{
	{name: "check-jira", args: []string{"check", "DIR/jira"}},
	{name: "check-three-products", args: []string{"check", "DIR/jira", "DIR/confluence/confluence.cfg.xml", "DIR/bitbucket"}},
	{name: "check-values", args: []string{"check", "{ENC}" + trackerSecret, wikiSecret}},
	{name: "check-aws-denied", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.aws.Deny("secretsmanager:GetSecretValue", "tracker/db") }},
	{name: "check-key-denied", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.aws.Deny("kms:Decrypt", "tracker/db") }},
	{name: "check-no-aws-credentials", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed,
		given: func(w *fixture) {
			w.t.Setenv("AWS_ACCESS_KEY_ID", "")
			w.t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		}},
	{name: "check-unknown-aws-key", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.aws.RemoveKey("AKIAEXAMPLE") }},
	{name: "check-sts-silent", args: []string{"check", "DIR/jira"},
		given: func(w *fixture) { w.t.Setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1") }},
	{name: "check-aws-not-found", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.edit(jiraFile, "tracker/db", "tracker/database") }},
	{name: "check-pointer-misses", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.edit(jiraFile, `"/password"`, `"/db/password"`) }},
	{name: "check-pointer-to-object", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.edit(jiraFile, `"/password"`, `"/db"`) }},
	{name: "check-pointer-into-plaintext", args: []string{"check", `{"region":"ap-southeast-2","secretId":"code/search","secretPointer":"/a"}`}, want: ui.StatusFailed},
	{name: "check-structured-without-pointer", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.edit(jiraFile, `,"secretPointer":"/password"`, "") }},
	{name: "check-newline", args: []string{"check", `{"region":"ap-southeast-2","secretId":"newline"}`}, want: ui.StatusFailed},
	{name: "check-empty-secret", args: []string{"check", `{"region":"ap-southeast-2","secretId":"empty","secretPointer":"/password"}`}, want: ui.StatusFailed},
	{name: "check-token-not-set", args: []string{"check", "DIR/confluence"}, want: ui.StatusFailed,
		given: func(w *fixture) {
			w.t.Setenv("SECRET_STORE_VAULT_TOKEN", "")
			w.t.Setenv("VAULT_TOKEN", "canary-token")
		}},
	{name: "check-token-unknown", args: []string{"check", "DIR/confluence"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.t.Setenv("SECRET_STORE_VAULT_TOKEN", "canary-token") }},
	{name: "check-token-in-spaces", args: []string{"check", "DIR/confluence"},
		given: func(w *fixture) { w.t.Setenv("SECRET_STORE_VAULT_TOKEN", w.vault.RootToken()+"\n") }},
	{name: "check-vault-denied", args: []string{"check", "DIR/confluence"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.powerless() }},
	{name: "check-vault-key-absent", args: []string{"check", "DIR/confluence"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.edit(wikiFile, `"key": "password"`, `"key": "pasword"`) }},
	{name: "check-vault-path-absent", args: []string{"check", "DIR/confluence"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.edit(wikiFile, "wiki/db", "data/wiki/db") }},
	{name: "check-vault-unreachable", args: []string{"check", "-timeout", "300ms", "DIR/confluence"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.edit(wikiFile, w.vault.URL(), "http://127.0.0.1:1") }},
	{name: "check-kubernetes", args: []string{"check", "DIR/confluence"}, want: ui.StatusFailed,
		given: func(w *fixture) {
			w.edit(wikiFile, `"key": "password"`, `"key": "password", "authenticationType": "KUBERNETES"`)
			w.t.Setenv("SECRET_STORE_VAULT_KUBE_AUTH_PATH", "cluster-a")
			w.t.Setenv("VAULT_NAMESPACE", "team")
		}},
	{name: "check-several-wrong", args: []string{"check", "DIR/confluence", "DIR/bitbucket"}, want: ui.StatusFailed,
		given: func(w *fixture) {
			w.powerless()
			w.edit(codeFile, `"secretId":"code/search"`, `"secretid":"canary text"`)
		}},
}

// checkFormGoldens are about the spelling of references.
var checkFormGoldens = []golden{
	{name: "check-trailing-slash", args: []string{"check", "DIR/confluence"},
		given: func(w *fixture) { w.edit(wikiFile, w.vault.URL(), w.vault.URL()+"/") }},
	{name: "check-angle-form", args: []string{"check", `<ENC><"region":"ap-southeast-2","secretId":"code/search">`}},
	{name: "check-prefix-in-xml", args: []string{"check", "DIR/jira"},
		given: func(w *fixture) { w.edit(jiraFile, `<password>{`, `<password>{ENC}{`) }},
	{name: "check-class-missing", args: []string{"check", "DIR/jira"},
		given: func(w *fixture) {
			w.edit(jiraFile, "<atlassian-password-cipher-provider>com.atlassian.secrets.store.aws.AwsSecretsManagerStore</atlassian-password-cipher-provider>", "")
		}},
	{name: "check-class-missing-properties", args: []string{"check", "DIR/bitbucket"},
		given: func(w *fixture) { w.edit(codeFile, "encrypted-property.cipher", "#encrypted-property.cipher") }},
	{name: "check-class-in-spaces", args: []string{"check", "DIR/bitbucket"},
		given: func(w *fixture) { w.edit(codeFile, "AwsSecretsManagerStore\n", "AwsSecretsManagerStore \n") }},
	{name: "check-class-of-other-store", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.edit(jiraFile, "aws.AwsSecretsManagerStore", "vault.VaultSecretStore") }},
	{name: "check-class-unknown", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.edit(jiraFile, "aws.AwsSecretsManagerStore", "aws.AwsSecretManagerStore") }},
	{name: "check-prefix-with-older-key", args: []string{"check", "DIR/bitbucket"},
		given: func(w *fixture) {
			w.edit(codeFile, "encrypted-property.cipher.classname", "jdbc.password.decrypter.classname")
			w.edit(codeFile, "plugin.search.config.password={ENC}", "#")
		}},
	{name: "check-prefix-missing-properties", args: []string{"check", "DIR/bitbucket"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.edit(codeFile, "{ENC}", "") }},
	{name: "check-number", args: []string{"check", "DIR/jira", strings.Replace(wikiSecret, "password", "pin", 1)},
		given: func(w *fixture) { w.edit(jiraFile, `"/password"`, `"/port"`) }},
	{name: "check-keyring", args: []string{"check", `{"keyring":"db"}`}, want: ui.StatusFailed},
	{name: "check-plaintext-in-file", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed, given: plaintextPassword},
	{name: "check-plaintext-under-class", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.edit(jiraFile, trackerSecret, "canary-plain") }},
	{name: "check-placeholder", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.edit(jiraFile, trackerSecret, "{ATL_SECURED}") }},
	{name: "check-url-with-password", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed, given: urlPassword},
	{name: "check-no-password", args: []string{"check", "DIR/confluence"}, want: ui.StatusFailed,
		given: func(w *fixture) {
			w.edit(wikiFile, `"hibernate.connection.password"`, `"hibernate.connection.passwort"`)
			w.edit(wikiFile, `"jdbc.password.decrypter.classname"`, `"other"`)
		}},
	{name: "check-empty-directory", args: []string{"check", "DIR"}, want: ui.StatusFailed},
	{name: "check-not-a-configuration", args: []string{"check", "DIR/jira.golden"}, want: ui.StatusFailed,
		given: func(w *fixture) {
			require.NoError(w.t, os.WriteFile(filepath.Join(w.dir, "jira.golden"), []byte("canary"), 0o600))
		}},
	{name: "check-neither-path-nor-reference", want: ui.StatusFailed,
		args: []string{"check", "canary-plain", "no/such/canary", "canary.xml", "", "arn:aws:secretsmanager:eu-west-1:1:secret:canary", `{"region":"canary"`}},
}

var usageGoldens = []golden{
	{name: "help", args: []string{"help"}},
	{name: "help-check", args: []string{"check", "-h"}},
	{name: "no-command", want: ui.StatusUsage},
	{name: "unknown-command", args: []string{"canary"}, want: ui.StatusUsage},
	{name: "unknown-flag", args: []string{"resolve", "-canary"}, want: ui.StatusUsage},
	{name: "flag-after-path", args: []string{"config", "DIR/jira", "-json"}, want: ui.StatusUsage},
	{name: "timeout-malformed", args: []string{"check", "-timeout", "soon", "DIR/jira"}, want: ui.StatusUsage},
	{name: "timeout-zero", args: []string{"check", "-timeout", "0s", "DIR/jira"}, want: ui.StatusUsage},
	{name: "timeout-without-unit", args: []string{"keys", "-timeout", "3", "-store", "DIR/k.db", "list"}, want: ui.StatusUsage},
	{name: "argument-missing", args: []string{"resolve"}, want: ui.StatusUsage},
	{name: "arguments-unquoted", args: []string{"resolve", `{"region":"canary",`, `"secretId":"b"}`}, want: ui.StatusUsage},
}

func plaintextPassword(w *fixture) {
	w.edit(jiraFile, trackerSecret, "canary-plain")
	w.edit(jiraFile, "<atlassian-password-cipher-provider>com.atlassian.secrets.store.aws.AwsSecretsManagerStore</atlassian-password-cipher-provider>", "")
}

func urlPassword(w *fixture) {
	w.edit(jiraFile, "5432/tracker<", "5432/tracker?user=x&amp;password=canary-url<")
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

			text := fmt.Sprintf("$ secretref %s\nexit status %d\n--- standard output\n%s--- standard error\n%s",
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
		assert.True(t, seen[strings.TrimSuffix(filepath.Base(f), ".golden")], "%s belongs to no case", f)
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
