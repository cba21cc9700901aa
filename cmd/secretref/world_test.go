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

// canary is in every secret and credential of a world. Where no secret belongs
// it must not turn up.
const canary = "canary"

// world is a machine to run the command on: the three products' home
// directories, the two stores with what they refer to, and an environment that
// leads to nothing else.
type world struct {
	t     *testing.T
	aws   *fakeaws.Server
	vault *fakevault.Server
	dir   string
	ids   map[string]string // of keys, as they are named in golden files
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, aws: fakeaws.New(), vault: fakevault.New(), dir: t.TempDir(), ids: map[string]string{}}
	t.Cleanup(w.aws.Close)
	t.Cleanup(w.vault.Close)
	for _, product := range []string{"jira", "confluence", "bitbucket"} {
		require.NoError(t, os.CopyFS(filepath.Join(w.dir, product), os.DirFS("testdata/"+product)))
	}
	w.edit("confluence/confluence.cfg.xml", "https://vault.wiki.example:8200", w.vault.URL())

	const region = "ap-southeast-2"
	w.aws.AddKey("AKIAEXAMPLE", canary+"-secret-access-key", "")
	w.aws.PutSecret(region, "tracker/db", `{"username":"tracker","password":"canary-tracker","port":5432,"db":{"host":"canary-host"}}`)
	w.aws.PutSecret(region, "code/db", `{"password":"canary-code"}`)
	w.aws.PutSecret(region, "code/search", "canary-search")
	w.aws.PutSecret(region, "newline", "canary-newline\n")
	w.aws.PutSecret(region, "empty", `{"password":""}`)
	w.vault.Put("secret", "wiki/db", map[string]any{"username": "canary-user", "password": "canary-wiki", "pin": 1234})

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

// edit replaces a text that a file of the world must hold.
func (w *world) edit(file, was, is string) {
	w.t.Helper()
	path := filepath.Join(w.dir, filepath.FromSlash(file))
	text, err := os.ReadFile(path)
	require.NoError(w.t, err)
	require.Contains(w.t, string(text), was)
	require.NoError(w.t, os.WriteFile(path, []byte(strings.ReplaceAll(string(text), was, is)), 0o600))
}

// powerless makes the environment's token one without policies.
func (w *world) powerless() {
	req, err := http.NewRequest(http.MethodPost, w.vault.URL()+"/v1/auth/token/create", bytes.NewBufferString(`{"policies":["default"]}`))
	require.NoError(w.t, err)
	req.Header.Set("X-Vault-Token", w.vault.RootToken())
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	var made struct {
		Auth struct {
			ClientToken string `json:"client_token"`
		}
	}
	require.NoError(w.t, json.NewDecoder(resp.Body).Decode(&made))
	require.NotEmpty(w.t, made.Auth.ClientToken)
	w.t.Setenv("SECRET_STORE_VAULT_TOKEN", made.Auth.ClientToken)
}

// fill puts the world's places into an argument.
func (w *world) fill(arg string) string {
	return strings.NewReplacer("DIR", w.dir, "http://VAULT", w.vault.URL()).Replace(arg)
}

var (
	userLine  = regexp.MustCompile(`(?m)^  user   .*$`)
	ownerText = regexp.MustCompile(`\(owner [^,]*,`)
	timestamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z|\d{8}T\d{6}\.\d{3}Z`)
	effort    = regexp.MustCompile(`; gave up after \d+ attempts in [0-9.]+m?s`) // depends on the machine
	hexID     = regexp.MustCompile(`\b[0-9a-f]{16}\b`)
)

// normal takes out of an output what differs from run to run. What stands in
// tables keeps its width.
func (w *world) normal(output string) string {
	output = strings.NewReplacer(
		w.dir, "DIR",
		strings.TrimPrefix(w.vault.URL(), "http://"), "VAULT",
		strings.TrimPrefix(w.aws.URL(), "http://"), "AWS",
		storeflags.Actor(), "USER@HOST",
	).Replace(output)
	output = hexID.ReplaceAllStringFunc(output, func(id string) string {
		if w.ids[id] == "" {
			w.ids[id] = fmt.Sprintf("id-%013d", len(w.ids)+1)
		}
		return w.ids[id]
	})
	output = effort.ReplaceAllString(output, "")
	output = timestamp.ReplaceAllString(output, "YYYY-MM-DDThh:mm:ssZ")
	output = ownerText.ReplaceAllString(output, "(owner USER,")
	return userLine.ReplaceAllString(output, "  user   USER (uid UID)")
}

// credentials are what must never be printed, besides canaries.
func (w *world) credentials() []string {
	all := []string{w.vault.RootToken(), os.Getenv("SECRET_STORE_VAULT_TOKEN"), w.vault.UnsealKey()}
	for _, file := range []string{"k.db.key", "root.key", "next.key"} {
		text, _ := os.ReadFile(filepath.Join(w.dir, file))
		if !bytes.HasPrefix(text, []byte("{")) { // a reference is no secret
			all = append(all, string(text))
		}
	}
	return all
}

// outcome is what a run of the command left behind.
type outcome struct {
	status   int
	out, err string
}

// do runs the command in the world.
func (w *world) do(stdin string, terminal bool, args ...string) outcome {
	var out, errs bytes.Buffer
	for i := range args {
		args[i] = w.fill(args[i])
	}
	status := run(w.t.Context(), args, ui.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs, OutIsTerminal: terminal})
	return outcome{status, out.String(), errs.String()}
}
