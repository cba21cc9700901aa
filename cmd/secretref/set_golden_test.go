package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

const (
	jiraClassLine = "    <atlassian-password-cipher-provider>com.atlassian.secrets.store.aws.AwsSecretsManagerStore</atlassian-password-cipher-provider>\n"
	wikiClassLine = `    <property name="jdbc.password.decrypter.classname">com.atlassian.secrets.store.vault.VaultSecretStore</property>` + "\n"
	codeClassLine = "encrypted-property.cipher.classname=com.atlassian.secrets.store.aws.AwsSecretsManagerStore\n"
	codeSecret    = `{"region":"ap-southeast-2","secretId":"code/db","secretPointer":"/password"}`
)

// password writes a plaintext password into Jira's file.
func password(text string) func(*fixture) {
	return func(w *fixture) {
		w.edit(jiraFile, jiraClassLine, "")
		w.edit(jiraFile, trackerSecret, text)
	}
}

// plaintextFiles writes plaintext passwords into the files of the three products.
func plaintextFiles(w *fixture) {
	password("canary-tracker")(w)
	w.edit(wikiFile, wikiClassLine, "")
	text, err := os.ReadFile(filepath.Join(w.dir, wikiFile))
	require.NoError(w.t, err)
	before, after, _ := strings.Cut(string(text), `"hibernate.connection.password">`)
	_, after, _ = strings.Cut(after, "<")
	w.write(wikiFile, before+`"hibernate.connection.password">canary-wiki<`+after)
	w.edit(codeFile, codeClassLine, "")
	w.edit(codeFile,
		`{ENC}{"region":"ap-southeast-2","secretId":"code/db", "secretPointer": "/password"}`,
		"canary-code")
	w.edit(codeFile, `{ENC}{"region":"ap-southeast-2","secretId":"code/search"}`, "canary-search")
}

// oldPasswords writes Jira's password to places that are easily overlooked.
func oldPasswords(w *fixture) {
	plaintextFiles(w)
	w.edit(jiraFile, "    <password>canary-tracker",
		"    <!-- <password>canary-tracker</password> -->\n    <password>canary-tracker")
	w.edit(jiraFile, "5432/tracker<", "5432/tracker?user=x&amp;password=canary%2Dtracker<")
}

var setGoldens = []golden{
	{name: "set-jira", given: plaintextFiles,
		args: []string{"set", "-backup-dir", "DIR/backup", "DIR/jira", trackerSecret}},
	{name: "set-confluence", given: plaintextFiles,
		args: []string{"set", "-backup-dir", "DIR/backup", "DIR/confluence", wikiSecret}},
	{name: "set-bitbucket", given: plaintextFiles,
		args: []string{"set", "-backup-dir", "DIR/backup", "DIR/bitbucket", codeSecret}},
	{name: "set-bitbucket-key", given: plaintextFiles,
		args: []string{"set", "-backup-dir", "DIR/backup", "-key", "plugin.search.config.password",
			"DIR/bitbucket", `{"region":"ap-southeast-2","secretId":"code/search"}`}},
	{name: "set-standard-input", given: plaintextFiles,
		stdin: `<ENC><"secretPointer":"/password", "region":"ap-southeast-2","secretId":"tracker/db">` + "\n",
		args:  []string{"set", "-backup-dir", "DIR/backup", "DIR/jira", "-"}},
	{name: "set-trailing-slash", given: plaintextFiles,
		args: []string{"set", "-backup-dir", "DIR/backup", "DIR/confluence",
			strings.Replace(wikiSecret, "//VAULT", "//VAULT/", 1)}},
	{name: "set-dry-run-jira", given: plaintextFiles,
		args: []string{"set", "-dry-run", "DIR/jira", trackerSecret}},
	{name: "set-dry-run-confluence", given: plaintextFiles,
		args: []string{"set", "-dry-run", "DIR/confluence", wikiSecret}},
	{name: "set-dry-run-bitbucket", args: []string{"set", "-dry-run", "DIR/bitbucket", codeSecret},
		given: func(w *fixture) {
			plaintextFiles(w)
			w.edit(codeFile, "jdbc.password=",
				"jdbc.password=canary-older\njdbc.password.decrypter.classname=canary.Class\njdbc.password=")
		}, want: ui.StatusFailed},
	{name: "set-dry-run-refused", given: password("canary-other"),
		args: []string{"set", "-dry-run", "DIR/jira", trackerSecret}, want: ui.StatusFailed},
	{name: "set-other-password", given: password("canary-other"),
		args: []string{"set", "-backup-dir", "DIR/backup", "DIR/jira",
			trackerSecret}, want: ui.StatusFailed},
	{name: "set-other-password-forced", given: password("canary-other"),
		args: []string{"set", "-force", "-backup-dir", "DIR/backup", "DIR/jira", trackerSecret}},
	{name: "set-newline", given: password("canary-newline"), want: ui.StatusFailed,
		args: []string{"set", "-backup-dir", "DIR/backup", "DIR/jira",
			`{"region":"ap-southeast-2","secretId":"newline"}`}},
	{name: "set-placeholder", given: password("{ATL_SECURED}"),
		args: []string{"set", "-backup-dir", "DIR/backup", "DIR/jira",
			trackerSecret}, want: ui.StatusFailed},
	{name: "set-placeholder-forced", given: password("{ATL_SECURED}"),
		args: []string{"set", "-force", "-backup-dir", "DIR/backup", "DIR/jira", trackerSecret}},
	{name: "set-not-found", given: plaintextFiles, want: ui.StatusFailed,
		args: []string{"set", "-force", "-backup-dir", "DIR/backup", "DIR/jira",
			`{"region":"ap-southeast-2","secretId":"nowhere"}`}},
	{name: "set-denied", args: []string{"set", "-backup-dir", "DIR/backup", "DIR/jira",
		trackerSecret}, want: ui.StatusFailed,
		given: func(w *fixture) {
			plaintextFiles(w)
			w.aws.Deny("secretsmanager:GetSecretValue", "tracker/db")
		}},
	{name: "set-pointer-misses", given: plaintextFiles, want: ui.StatusFailed,
		args: []string{"set", "-backup-dir", "DIR/backup", "DIR/jira",
			strings.Replace(trackerSecret, "/password", "/pass", 1)}},
	{name: "set-number", given: password("5432"), want: ui.StatusFailed,
		args: []string{"set", "-backup-dir", "DIR/backup", "DIR/jira",
			strings.Replace(trackerSecret, "/password", "/port", 1)}},
	{name: "set-already", args: []string{"set", "-backup-dir", "DIR/backup", "DIR/bitbucket",
		codeSecret}},
	{name: "set-other-store",
		args: []string{"set", "-backup-dir", "DIR/backup", "DIR/confluence",
			`{"region":"ap-southeast-2","secretId":"wiki"}`},
		given: func(w *fixture) { w.aws.PutSecret("ap-southeast-2", "wiki", "canary-wiki") }},
	{name: "set-others-in-the-way",
		args: []string{"set", "-backup-dir", "DIR/backup", "DIR/bitbucket",
			wikiSecret}, want: ui.StatusFailed},
	{name: "set-in-home", given: plaintextFiles,
		args: []string{"set", "-backup-dir", "DIR/bitbucket/backup", "DIR/bitbucket", codeSecret}},
	{name: "set-keyring", given: plaintextFiles,
		args: []string{"set", "-backup-dir", "DIR/backup", "DIR/jira",
			`{"keyring":"db"}`}, want: ui.StatusFailed},
	{name: "set-custom-class", given: plaintextFiles, want: ui.StatusFailed,
		args: []string{"set", "-class", "com.example.Store", "-backup-dir", "DIR/backup",
			"DIR/jira", "canary-coordinates"}},
	{name: "set-custom-class-forced", given: plaintextFiles,
		args: []string{"set", "-force", "-class", "com.example.Store", "-backup-dir", "DIR/backup",
			"DIR/jira", "canary-coordinates"}},
	{name: "set-custom-class-dry-run", given: plaintextFiles,
		args: []string{"set", "-force", "-dry-run", "-class", "com.example.Store", "DIR/jira",
			trackerSecret}},
	{name: "set-custom-class-keyring", given: plaintextFiles,
		args: []string{"set", "-force", "-class", "com.example.Store", "-backup-dir", "DIR/backup",
			"DIR/jira", `{"keyring":"db"}`}},
	{name: "set-class-of-other-store", given: plaintextFiles, want: ui.StatusFailed,
		args: []string{"set", "-class", "com.atlassian.secrets.store.vault.VaultSecretStore",
			"-backup-dir", "DIR/backup", "DIR/jira", trackerSecret}},
	{name: "set-from-custom-class", want: ui.StatusFailed,
		args:  []string{"set", "-dry-run", "DIR/jira", trackerSecret},
		given: func(w *fixture) { w.edit(jiraFile, "aws.AwsSecretsManagerStore", "own.Store") }},
	{name: "set-from-base64", args: []string{"set", "-dry-run", "DIR/jira", trackerSecret},
		given: func(w *fixture) {
			w.edit(jiraFile, "aws.AwsSecretsManagerStore", "base64.Base64SecretStore")
			w.edit(jiraFile, trackerSecret, "Y2FuYXJ5LXRyYWNrZXI=")
		}},
	{name: "set-to-base64", stdin: "Y2FuYXJ5LXRyYWNrZXI=\n", given: plaintextFiles,
		args: []string{"set", "-class", "com.atlassian.secrets.store.base64.Base64SecretStore",
			"-backup-dir", "DIR/backup", "DIR/jira", "-"}},
	{name: "set-back", stdin: "canary-tracker\n",
		args: []string{"set", "-backup-dir", "DIR/backup", "-plaintext-from", "-", "DIR/jira"}},
	{name: "set-back-dry-run", stdin: "canary-code\n",
		args: []string{"set", "-dry-run", "-plaintext-from", "-", "DIR/bitbucket"}},
	{name: "set-back-other-password", stdin: "canary\n",
		args: []string{"set", "-backup-dir", "DIR/backup", "-plaintext-from", "-",
			"DIR/jira"}, want: ui.StatusFailed},
	{name: "set-back-without-store", stdin: "canary-wiki\n",
		args: []string{"set", "-timeout", "300ms", "-backup-dir", "DIR/backup", "-plaintext-from",
			"-", "DIR/confluence"},
		given: func(w *fixture) { w.edit(wikiFile, w.vault.URL(), "http://127.0.0.1:1") }},
	{name: "set-back-denied", stdin: "canary-tracker\n",
		args:  []string{"set", "-backup-dir", "DIR/backup", "-plaintext-from", "-", "DIR/jira"},
		given: func(w *fixture) { w.aws.Deny("secretsmanager:GetSecretValue", "tracker/db") }},
	{name: "set-back-unauthenticated", stdin: "canary-wiki\n",
		args: []string{"set", "-backup-dir", "DIR/backup", "-plaintext-from", "-",
			"DIR/confluence"},
		given: func(w *fixture) { w.t.Setenv("SECRET_STORE_VAULT_TOKEN", "") }},
	{name: "set-back-not-found", stdin: "canary-tracker\n",
		args: []string{"set", "-backup-dir", "DIR/backup", "-plaintext-from", "-",
			"DIR/jira"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.aws.DeleteSecret("ap-southeast-2", "tracker/db") }},
	{name: "set-back-not-found-forced", stdin: "canary-tracker\n",
		args: []string{"set", "-force", "-backup-dir", "DIR/backup", "-plaintext-from", "-",
			"DIR/jira"},
		given: func(w *fixture) { w.aws.DeleteSecret("ap-southeast-2", "tracker/db") }},
	{name: "set-back-from-custom-class", stdin: "canary-tracker\n",
		args: []string{"set", "-backup-dir", "DIR/backup", "-plaintext-from", "-",
			"DIR/jira"}, want: ui.StatusFailed,
		given: func(w *fixture) { w.edit(jiraFile, "aws.AwsSecretsManagerStore", "own.Store") }},
	{name: "set-back-from-placeholder", stdin: "canary-tracker\n",
		args: []string{"set", "-backup-dir", "DIR/backup", "-plaintext-from", "-",
			"DIR/jira"}, want: ui.StatusFailed,
		given: password("{ATL_SECURED}")},
	{name: "set-prefix-in-xml", args: []string{"set", "-dry-run", "DIR/jira", trackerSecret},
		given: func(w *fixture) { w.edit(jiraFile, `<password>{`, `<password>{ENC}{`) }},
	{name: "set-angle-form", args: []string{"set", "-dry-run", "DIR/jira", trackerSecret},
		given: func(w *fixture) {
			w.edit(jiraFile, trackerSecret,
				"&lt;ENC&gt;&lt;"+strings.Trim(trackerSecret, "{}")+"&gt;")
		}},
	{name: "set-class-wrong", args: []string{"set", "-dry-run", "DIR/confluence", wikiSecret},
		given: func(w *fixture) {
			w.edit(wikiFile, "vault.VaultSecretStore",
				"aws.AwsSecretsManagerStore")
		}, want: ui.StatusFailed},
	{name: "set-old-password-stands",
		args: []string{"set", "-backup-dir", "DIR/backup", "DIR/jira",
			trackerSecret}, given: oldPasswords},
	{name: "set-old-password-dry-run", args: []string{"set", "-dry-run", "DIR/jira", trackerSecret},
		given: oldPasswords},
	{name: "set-already-old-password",
		args: []string{"set", "-backup-dir", "DIR/backup", "DIR/jira", trackerSecret},
		given: func(w *fixture) {
			w.edit(jiraFile, "<password>",
				"<!-- canary-tracker --><password>")
		}},
	{name: "set-back-empty", stdin: "\n",
		args: []string{"set", "-backup-dir", "DIR/backup", "-plaintext-from", "-",
			"DIR/jira"}, want: ui.StatusFailed},
	{name: "set-back-to-a-reference", stdin: `{ENC}{"region":"canary"`, want: ui.StatusFailed,
		args: []string{"set", "-backup-dir", "DIR/backup", "-plaintext-from", "-",
			"DIR/bitbucket"}},
	{name: "set-back-from-a-file-for-all", want: ui.StatusFailed,
		args: []string{"set", "-backup-dir", "DIR/backup", "-plaintext-from", "DIR/p", "DIR/jira"},
		given: func(w *fixture) {
			w.write("p", "canary-tracker\n")
			require.NoError(w.t, os.Chmod(w.path("p"), 0o644))
		}},
	{name: "set-plaintext", given: plaintextFiles,
		args: []string{"set", "-backup-dir", "DIR/backup", "DIR/jira",
			"canary-plain"}, want: ui.StatusFailed},
	{name: "set-mistake", given: plaintextFiles,
		args: []string{"set", "-backup-dir", "DIR/backup", "DIR/jira",
			`{"region":"eu-west-1","secretID":"canary"}`}, want: ui.StatusFailed},
	{name: "set-no-backup-dir", args: []string{"set", "DIR/jira", trackerSecret},
		want: ui.StatusUsage},
	{name: "set-no-reference", args: []string{"set", "-dry-run", "DIR/jira"}, want: ui.StatusUsage},
	{name: "set-plaintext-and-reference",
		args: []string{"set", "-dry-run", "-plaintext-from", "-", "DIR/jira",
			trackerSecret}, want: ui.StatusUsage},
	{name: "set-class-of-no-package",
		args: []string{"set", "-dry-run", "-class", "canary!", "DIR/jira",
			trackerSecret}, want: ui.StatusUsage},
	{name: "set-key-of-jira",
		args: []string{"set", "-dry-run", "-key", "canary", "DIR/jira",
			trackerSecret}, want: ui.StatusUsage},
	{name: "set-key-that-is-not-there",
		args: []string{"set", "-dry-run", "-key", "canary", "DIR/bitbucket",
			codeSecret}, want: ui.StatusFailed},
	{name: "set-no-password", args: []string{"set", "-dry-run", "DIR/jira", trackerSecret},
		want: ui.StatusFailed,
		given: func(w *fixture) {
			w.edit(jiraFile, jiraClassLine, "")
			w.edit(jiraFile, "<password>"+trackerSecret+"</password>", "")
		}},
	{name: "help-set", args: []string{"set", "-h"}},
}
