package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/cmd/secretref/internal/storeflags"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
	"github.com/seed74218947/secretref/internal/test/fakevault"
)

// canary is part of every secret and credential of a fixture. It must not appear in
// output that should contain no secret.
const canary = "canary"

// fixture is a machine to run the command on: the three products' home directories, fakes
// of AWS and Vault with their secrets, and an environment that points to these only.
type fixture struct {
	t     *testing.T
	aws   *fakeaws.Server
	vault *fakevault.Server
	dir   string
	ids   map[string]string // of keys, with their names in golden files
}

func newFixture(t *testing.T) *fixture {
	w := &fixture{t: t, aws: fakeaws.New(), vault: fakevault.New(), dir: t.TempDir(),
		ids: map[string]string{}}
	t.Cleanup(w.aws.Close)
	t.Cleanup(w.vault.Close)
	for _, product := range []string{"jira", "confluence", "bitbucket"} {
		require.NoError(t, os.CopyFS(filepath.Join(w.dir, product), os.DirFS("testdata/"+product)))
	}
	w.edit("confluence/confluence.cfg.xml", "https://vault.wiki.example:8200", w.vault.URL())

	const region = "ap-southeast-2"
	w.aws.AddKey("AKIAEXAMPLE", canary+"-secret-access-key", "")
	w.aws.PutSecret(region, "tracker/db",
		`{"username":"tracker","password":"canary-tracker","port":5432,"db":{"host":"canary-host"}}`)
	w.aws.PutSecret(region, "code/db", `{"password":"canary-code"}`)
	w.aws.PutSecret(region, "code/search", "canary-search")
	w.aws.PutSecret(region, "newline", "canary-newline\n")
	w.aws.PutSecret(region, "empty", `{"password":""}`)
	w.vault.Put("secret", "wiki/db",
		map[string]any{"username": "canary-user", "password": "canary-wiki", "pin": 1234})

	for _, set := range os.Environ() {
		name, _, _ := strings.Cut(set, "=")
		for _, prefix := range []string{"AWS_", "VAULT_", "SECRET_STORE_", "SECRETREF_", "PG"} {
			if strings.HasPrefix(name, prefix) {
				t.Setenv(name, "")
			}
		}
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID":                "AKIAEXAMPLE",
		"AWS_SECRET_ACCESS_KEY":            canary + "-secret-access-key",
		"AWS_EC2_METADATA_DISABLED":        "true",
		"AWS_CONFIG_FILE":                  filepath.Join(w.dir, "no-aws-config"),
		"AWS_SHARED_CREDENTIALS_FILE":      filepath.Join(w.dir, "no-aws-credentials"),
		"AWS_CA_BUNDLE":                    "",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": w.aws.URL(),
		"AWS_ENDPOINT_URL_STS":             w.aws.STSURL(),
		"SECRET_STORE_VAULT_TOKEN":         w.vault.RootToken(),
		"HTTPS_PROXY":                      "",
	} {
		t.Setenv(name, value)
	}
	return w
}

// edit replaces a text that a file of the fixture must contain.
func (f *fixture) edit(file, was, is string) {
	f.t.Helper()
	path := filepath.Join(f.dir, filepath.FromSlash(file))
	text, err := os.ReadFile(path)
	require.NoError(f.t, err)
	require.Contains(f.t, string(text), was)
	require.NoError(f.t, os.WriteFile(path, []byte(strings.ReplaceAll(string(text), was, is)),
		0o600))
}

// powerless sets a Vault token without policies.
func (f *fixture) powerless() {
	req, err := http.NewRequest(http.MethodPost, f.vault.URL()+"/v1/auth/token/create",
		bytes.NewBufferString(`{"policies":["default"]}`))
	require.NoError(f.t, err)
	req.Header.Set("X-Vault-Token", f.vault.RootToken())
	resp, err := http.DefaultClient.Do(req)
	require.NoError(f.t, err)
	defer resp.Body.Close()
	var made struct {
		Auth struct {
			ClientToken string `json:"client_token"`
		}
	}
	require.NoError(f.t, json.NewDecoder(resp.Body).Decode(&made))
	require.NotEmpty(f.t, made.Auth.ClientToken)
	f.t.Setenv("SECRET_STORE_VAULT_TOKEN", made.Auth.ClientToken)
}

// fill replaces the placeholders in an argument.
func (f *fixture) fill(arg string) string {
	return strings.NewReplacer("DIR", f.dir, "http://VAULT", f.vault.URL()).Replace(arg)
}

var (
	userLine  = regexp.MustCompile(`(?m)^  user   .*$`)
	ownerText = regexp.MustCompile(`\(owner [^,]*,`)
	timestamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z|\d{8}T\d{6}\.\d{3}Z`)
	// depends on the speed of the machine
	effort = regexp.MustCompile(`; gave up after \d+ attempts in [0-9.]+m?s`)
	hexID  = regexp.MustCompile(`\b[0-9a-f]{16}\b`)
)

// normal replaces the parts of an output that differ between runs, in tables by text of
// the same width.
func (f *fixture) normal(output string) string {
	output = strings.NewReplacer(
		f.dir, "DIR",
		strings.TrimPrefix(f.vault.URL(), "http://"), "VAULT",
		strings.TrimPrefix(f.aws.URL(), "http://"), "AWS",
		storeflags.Actor(), "USER@HOST",
	).Replace(output)
	output = hexID.ReplaceAllStringFunc(output, func(id string) string {
		if f.ids[id] == "" {
			f.ids[id] = fmt.Sprintf("id-%013d", len(f.ids)+1)
		}
		return f.ids[id]
	})
	output = effort.ReplaceAllString(output, "")
	output = timestamp.ReplaceAllString(output, "YYYY-MM-DDThh:mm:ssZ")
	output = ownerText.ReplaceAllString(output, "(owner USER,")
	return userLine.ReplaceAllString(output, "  user   USER (uid UID)")
}

// credentials returns the texts without a canary that must never be printed.
func (f *fixture) credentials() []string {
	all := []string{f.vault.RootToken(), os.Getenv("SECRET_STORE_VAULT_TOKEN"), f.vault.UnsealKey()}
	for _, file := range []string{"k.db.key", "root.key", "next.key"} {
		text, _ := os.ReadFile(filepath.Join(f.dir, file))
		if !bytes.HasPrefix(text, []byte("{")) { // a reference is not secret
			all = append(all, string(text))
		}
	}
	return all
}

// outcome is the result of a run.
type outcome struct {
	status   int
	out, err string
}

// do runs the command in the fixture.
func (f *fixture) do(stdin string, terminal bool, args ...string) outcome {
	var out, errs bytes.Buffer
	for i := range args {
		args[i] = f.fill(args[i])
	}
	status := run(f.t.Context(), args,
		ui.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs, OutIsTerminal: terminal})
	return outcome{status, out.String(), errs.String()}
}
