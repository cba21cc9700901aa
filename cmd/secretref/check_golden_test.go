package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

var checkGoldens = []golden{
	{name: "check-jira", args: []string{"check", "DIR/jira"}},
	{name: "check-three-products",
		args: []string{"check", "DIR/jira", "DIR/confluence/confluence.cfg.xml", "DIR/bitbucket"}},
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
	{name: "check-pointer-into-plaintext",
		args: []string{"check",
			`{"region":"ap-southeast-2","secretId":"code/search","secretPointer":"/a"}`},
		want: ui.StatusFailed},
	{name: "check-structured-without-pointer", args: []string{"check", "DIR/jira"},
		want:  ui.StatusFailed,
		given: func(w *fixture) { w.edit(jiraFile, `,"secretPointer":"/password"`, "") }},
	{name: "check-newline", args: []string{"check",
		`{"region":"ap-southeast-2","secretId":"newline"}`}, want: ui.StatusFailed},
	{name: "check-empty-secret",
		args: []string{"check",
			`{"region":"ap-southeast-2","secretId":"empty","secretPointer":"/password"}`},
		want: ui.StatusFailed},
	{name: "check-token-not-set", args: []string{"check", "DIR/confluence"}, want: ui.StatusFailed,
		given: func(w *fixture) {
			w.t.Setenv("SECRET_STORE_VAULT_TOKEN", "")
			w.t.Setenv("VAULT_TOKEN", "canary-token")
		}},
	{name: "check-token-unknown", args: []string{"check", "DIR/confluence"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.t.Setenv("SECRET_STORE_VAULT_TOKEN", "canary-token") }},
	{name: "check-token-in-spaces", args: []string{"check", "DIR/confluence"},
		given: func(w *fixture) {
			w.t.Setenv("SECRET_STORE_VAULT_TOKEN",
				w.vault.RootToken()+"\n")
		}},
	{name: "check-vault-denied", args: []string{"check", "DIR/confluence"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.powerless() }},
	{name: "check-vault-key-absent", args: []string{"check", "DIR/confluence"},
		want:  ui.StatusFailed,
		given: func(w *fixture) { w.edit(wikiFile, `"key": "password"`, `"key": "pasword"`) }},
	{name: "check-vault-path-absent", args: []string{"check", "DIR/confluence"},
		want:  ui.StatusFailed,
		given: func(w *fixture) { w.edit(wikiFile, "wiki/db", "data/wiki/db") }},
	{name: "check-vault-unreachable",
		args: []string{"check", "-timeout", "300ms", "DIR/confluence"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.edit(wikiFile, w.vault.URL(), "http://127.0.0.1:1") }},
	{name: "check-kubernetes", args: []string{"check", "DIR/confluence"}, want: ui.StatusFailed,
		given: func(w *fixture) {
			w.edit(wikiFile, `"key": "password"`,
				`"key": "password", "authenticationType": "KUBERNETES"`)
			w.t.Setenv("SECRET_STORE_VAULT_KUBE_AUTH_PATH", "cluster-a")
			w.t.Setenv("VAULT_NAMESPACE", "team")
		}},
	{name: "check-several-wrong", args: []string{"check", "DIR/confluence", "DIR/bitbucket"},
		want: ui.StatusFailed,
		given: func(w *fixture) {
			w.powerless()
			w.edit(codeFile, `"secretId":"code/search"`, `"secretid":"canary text"`)
		}},
}

// checkFormGoldens are about the spelling of references.
var checkFormGoldens = []golden{
	{name: "check-trailing-slash", args: []string{"check", "DIR/confluence"},
		given: func(w *fixture) { w.edit(wikiFile, w.vault.URL(), w.vault.URL()+"/") }},
	{name: "check-angle-form",
		args: []string{"check", `<ENC><"region":"ap-southeast-2","secretId":"code/search">`}},
	{name: "check-prefix-in-xml", args: []string{"check", "DIR/jira"},
		given: func(w *fixture) { w.edit(jiraFile, `<password>{`, `<password>{ENC}{`) }},
	{name: "check-class-missing", args: []string{"check", "DIR/jira"},
		given: func(w *fixture) {
			w.edit(jiraFile,
				"<atlassian-password-cipher-provider>com.atlassian.secrets.store.aws.AwsSecretsManagerStore</atlassian-password-cipher-provider>", "")
		}},
	{name: "check-class-missing-properties", args: []string{"check", "DIR/bitbucket"},
		given: func(w *fixture) {
			w.edit(codeFile, "encrypted-property.cipher",
				"#encrypted-property.cipher")
		}},
	{name: "check-class-in-spaces", args: []string{"check", "DIR/bitbucket"},
		given: func(w *fixture) {
			w.edit(codeFile, "AwsSecretsManagerStore\n",
				"AwsSecretsManagerStore \n")
		}},
	{name: "check-class-of-other-store", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed,
		given: func(w *fixture) {
			w.edit(jiraFile, "aws.AwsSecretsManagerStore",
				"vault.VaultSecretStore")
		}},
	{name: "check-class-unknown", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed,
		given: func(w *fixture) {
			w.edit(jiraFile, "aws.AwsSecretsManagerStore",
				"aws.AwsSecretManagerStore")
		}},
	{name: "check-prefix-with-older-key", args: []string{"check", "DIR/bitbucket"},
		given: func(w *fixture) {
			w.edit(codeFile, "encrypted-property.cipher.classname",
				"jdbc.password.decrypter.classname")
			w.edit(codeFile, "plugin.search.config.password={ENC}", "#")
		}},
	{name: "check-prefix-missing-properties", args: []string{"check", "DIR/bitbucket"},
		want:  ui.StatusFailed,
		given: func(w *fixture) { w.edit(codeFile, "{ENC}", "") }},
	{name: "check-number", args: []string{"check", "DIR/jira",
		strings.Replace(wikiSecret, "password", "pin", 1)},
		given: func(w *fixture) { w.edit(jiraFile, `"/password"`, `"/port"`) }},
	{name: "check-keyring", args: []string{"check", `{"keyring":"db"}`}, want: ui.StatusFailed},
	{name: "check-plaintext-in-file", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed,
		given: plaintextPassword},
	{name: "check-plaintext-under-class", args: []string{"check", "DIR/jira"},
		want:  ui.StatusFailed,
		given: func(w *fixture) { w.edit(jiraFile, trackerSecret, "canary-plain") }},
	{name: "check-placeholder", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.edit(jiraFile, trackerSecret, "{ATL_SECURED}") }},
	{name: "check-url-with-password", args: []string{"check", "DIR/jira"}, want: ui.StatusFailed,
		given: urlPassword},
	{name: "check-no-password", args: []string{"check", "DIR/confluence"}, want: ui.StatusFailed,
		given: func(w *fixture) {
			w.edit(wikiFile, `"hibernate.connection.password"`, `"hibernate.connection.passwort"`)
			w.edit(wikiFile, `"jdbc.password.decrypter.classname"`, `"other"`)
		}},
	{name: "check-empty-directory", args: []string{"check", "DIR"}, want: ui.StatusFailed},
	{name: "check-not-a-configuration", args: []string{"check", "DIR/jira.golden"},
		want: ui.StatusFailed,
		given: func(w *fixture) {
			require.NoError(w.t, os.WriteFile(filepath.Join(w.dir, "jira.golden"), []byte("canary"),
				0o600))
		}},
	{name: "check-neither-path-nor-reference", want: ui.StatusFailed,
		args: []string{"check", "canary-plain", "no/such/canary", "canary.xml", "",
			"arn:aws:secretsmanager:eu-west-1:1:secret:canary", `{"region":"canary"`}},
}

func plaintextPassword(w *fixture) {
	w.edit(jiraFile, trackerSecret, "canary-plain")
	w.edit(jiraFile,
		"<atlassian-password-cipher-provider>com.atlassian.secrets.store.aws.AwsSecretsManagerStore</atlassian-password-cipher-provider>", "")
}

func urlPassword(w *fixture) {
	w.edit(jiraFile, "5432/tracker<", "5432/tracker?user=x&amp;password=canary-url<")
}
