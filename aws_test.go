package secretref_test

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
)

const (
	awsKeyID  = "AKIDEXAMPLE"
	awsSecret = "key-" + canary
	awsToken  = "token-" + canary
)

// awsEnv removes the AWS settings of this machine: no files, no instance.
func awsEnv(t testing.TB) {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			require.NoError(t, os.Unsetenv(name))
		}
	}
	none := t.TempDir()
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(none, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(none, "credentials"))
	t.Setenv("AWS_CA_BUNDLE", "")
}

// awsFake starts a fake AWS and sets the environment to it and to a valid key.
func awsFake(t testing.TB) *fakeaws.Server {
	s := fakeaws.New()
	t.Cleanup(s.Close)
	s.AddKey(awsKeyID, awsSecret, awsToken)
	awsEnv(t)
	t.Setenv("AWS_ACCESS_KEY_ID", awsKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", awsSecret)
	t.Setenv("AWS_SESSION_TOKEN", awsToken)
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", s.URL())
	return s
}

// awsResolver returns a Resolver that is closed after the test. events returns the events
// of all fetches that have ended. By default, nothing is cached.
func awsResolver(t testing.TB, opts secretref.Options) (r *secretref.Resolver,
	events func() []secretref.FetchEvent) {
	var mu sync.Mutex
	var seen []secretref.FetchEvent
	opts.OnFetch = func(e secretref.FetchEvent) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, e)
	}
	opts.TTL = cmp.Or(opts.TTL, -1)
	r = secretref.New(&opts)
	t.Cleanup(func() { r.Close() })
	return r, func() []secretref.FetchEvent {
		mu.Lock()
		defer mu.Unlock()
		return append([]secretref.FetchEvent{}, seen...)
	}
}

func awsDB(pointer string) string {
	return secretref.AWSReference{Region: "eu-west-1", SecretID: "db",
		SecretPointer: secretref.Pointer(pointer)}.String()
}

func TestAWSValues(t *testing.T) {
	s := awsFake(t)
	const jsonWarning, newlineWarning = "is the secretPointer missing?", "ends in a newline"
	for name, c := range map[string]struct{ text, pointer, want, warning string }{
		"a password":            {"hunter2", "", "hunter2", ""},
		"text that is not JSON": {`{"a":`, "", `{"a":`, ""},
		"with white space":      {" hunter2\t", "", " hunter2\t", ""},
		"a trailing newline":    {"hunter2\n", "", "hunter2\n", newlineWarning},
		"a whole JSON object":   {"{\"password\": \"p\" }", "", "{\"password\": \"p\" }", jsonWarning},
		"UTF-8":                 {"pä\u2028ß\U0001f511\x00", "", "pä\u2028ß\U0001f511\x00", ""},
		"UTF-8 with a pointer":  {`{"pä":"ß\ud83d\udd11"}`, "/pä", "ß\U0001f511", ""},
		"escapes":               {`"\"`, "", `"\"`, ""},
		"a number, digit by digit": {`{"port":1.50e+09000000000000000001}`, "/port",
			"1.50e+09000000000000000001", ""},
		"a boolean":          {`{"tls":true}`, "/tls", "true", ""},
		"the last duplicate": {`{"a":{"b":1},"a":{"b":"2"}}`, "/a/b", "2", ""},
		"an escaped pointer": {`{"a/b":{"c~d":["x"]}}`, "/a~1b/c~0d/0", "x", ""},
		"64 KiB": {strings.Repeat("\x01", 64<<10), "",
			strings.Repeat("\x01", 64<<10), ""},
		"65 KiB": {strings.Repeat("\u20ac", 65<<10/3), "",
			strings.Repeat("\u20ac", 65<<10/3), ""},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, put := range map[string]func(){
				"string": func() { s.PutSecret("eu-west-1", "db", c.text) },
				"binary": func() { s.PutBinary("eu-west-1", "db", []byte(c.text)) },
			} {
				put()
				var log bytes.Buffer
				r, _ := awsResolver(t, secretref.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				got, err := r.Resolve(t.Context(), awsDB(c.pointer))
				require.NoError(t, err, kind)
				require.Equal(t, c.want, got.Reveal(), kind)
				if c.warning == "" {
					require.Empty(t, log.String())
				} else {
					require.Contains(t, log.String(), c.warning)
				}
			}
		})
	}
}

func TestAWSPointer_errors(t *testing.T) {
	s := awsFake(t)
	for text, pointer := range map[string]string{
		`{"a":"` + canary + `"}`: "/b", `{"a":{"b":"` + canary + `"}}`: "/a", `{"a":null}`: "/a",
		`{"a":["` + canary + `"]}`: "/a/1",
		canary:                     "/a", `{"a":"` + canary + `"} x`: "/a",
		"{\"a\":\"\xff" + canary + "\"}": "/a",
		`{"a":"` + canary:                "/a",
	} {
		s.PutBinary("eu-west-1", "db", []byte(text))
		r, _ := awsResolver(t, secretref.Options{})
		_, err := r.Resolve(t.Context(), awsDB(pointer))
		require.ErrorIs(t, err, secretref.ErrPointer, "%s", strings.ReplaceAll(text, canary, "x"))
		requireSilent(t, err)
	}
}

func TestAWSSecretID(t *testing.T) {
	s := awsFake(t)
	arn := s.PutSecret("eu-west-1", "prod/db", "hunter2")
	r, _ := awsResolver(t, secretref.Options{})
	for _, id := range []string{"prod/db", arn, arn[:len(arn)-len("-abcdef")]} {
		got, err := r.ResolveReference(t.Context(),
			secretref.AWSReference{Region: "eu-west-1", SecretID: id})
		require.NoError(t, err)
		require.Equal(t, "hunter2", got.Reveal())
	}
}

func TestAWSErrors_as(t *testing.T) {
	s := awsFake(t)
	s.Fail(1, 400, "DecryptionFailure", nil)
	r, _ := awsResolver(t, secretref.Options{})
	_, err := r.Resolve(t.Context(), awsDB(""))
	var api smithy.APIError
	require.ErrorAs(t, err, &api)
	require.Equal(t, "DecryptionFailure", api.ErrorCode())
	require.Empty(t, api.ErrorMessage())
}

// Other servers, or malicious ones, send these responses.
func TestAWSAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		want   error
		text   string
	}{
		"not JSON": {awsWrites(`{"SecretString":"` + canary), secretref.ErrUnavailable, "JSON"},
		"HTML": {awsWrites("<html><body>" + canary + "</body></html>"),
			secretref.ErrUnavailable, "JSON"},
		"nothing": {awsWrites(""), secretref.ErrUnavailable, "JSON"},
		"two documents": {awsWrites(`{"SecretString":"` + canary + `"}{}`), secretref.ErrUnavailable,
			"JSON"},
		"invalid UTF-8": {awsWrites("{\"SecretString\":\"\xff" + canary + "\"}"),
			secretref.ErrUnavailable, "UTF-8"},
		"half a surrogate": {awsWrites(`{"SecretString":"\ud83d` + canary + `"}`),
			secretref.ErrUnavailable, "surrogate"},
		"null": {awsWrites(`null`), secretref.ErrUnavailable, "not that of AWS"},
		"an array": {awsWrites(`["` + canary + `"]`), secretref.ErrUnavailable,
			"not that of AWS"},
		"no value": {awsWrites(`{"Name":"` + canary + `"}`), secretref.ErrNotFound, "no value"},
		"a number": {awsWrites(`{"SecretString":1234}`), secretref.ErrUnavailable,
			"not that of AWS"},
		"broken base64": {awsWrites(`{"SecretBinary":"` + canary + `"}`), secretref.ErrUnavailable,
			"not that of AWS"},
		"HTML as an error": {func(w http.ResponseWriter,
			r *http.Request) {
			w.WriteHeader(400)
			awsWrites("<html>"+canary)(w, r)
		}, secretref.ErrUnavailable, "is it AWS Secrets Manager?"},
	} {
		t.Run(name, func(t *testing.T) {
			s := awsFake(t)
			s.Intercept(func(w http.ResponseWriter, r *http.Request) bool { c.answer(w, r); return true })
			r, _ := awsResolver(t, secretref.Options{})
			_, err := r.Resolve(t.Context(), awsDB(""))
			require.ErrorIs(t, err, c.want)
			require.Contains(t, err.Error(), c.text)
			requireSilent(t, err)
			require.Equal(t, 1, s.Calls(), "an invalid response is not retried")
		})
	}
}

func awsWrites(body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

// awsHundred stores 100 secrets and returns references to them.
func awsHundred(s *fakeaws.Server) []string {
	refs := make([]string, 100)
	for i := range refs {
		name := fmt.Sprintf("secret-%d", i)
		s.PutSecret("eu-west-1", name, "value of "+name)
		refs[i] = secretref.AWSReference{Region: "eu-west-1", SecretID: name}.String()
	}
	return refs
}
