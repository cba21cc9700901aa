package awssm_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/awssm"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fetch/retry"
	"github.com/seed74218947/secretref/internal/ref"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
)

const (
	canary  = "c4nary-hunter2"
	keyID   = "AKIDEXAMPLE"
	key     = "key-" + canary
	roleARN = "arn:aws:iam::" + fakeaws.Account + ":role/app"
)

// bare takes the machine's own AWS settings away: no files, no instance.
func bare(t *testing.T) {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			require.NoError(t, os.Unsetenv(name))
		}
	}
	none := t.TempDir()
	t.Setenv("HOME", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(none, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(none, "credentials"))
	t.Setenv("AWS_CA_BUNDLE", "")
}

// fake is AWS with one secret, in three regions, and an environment without
// credentials for it.
func fake(t *testing.T) *fakeaws.Server {
	s := fakeaws.New()
	t.Cleanup(s.Close)
	s.AddKey(keyID, key, "")
	for _, region := range regions {
		s.PutSecret(region, "db", "hunter2")
	}
	bare(t)
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", s.URL())
	t.Setenv("AWS_ENDPOINT_URL_STS", s.STSURL())
	return s
}

// keyed sets a key that the fakes accept.
func keyed(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", keyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", key)
}

var regions = []string{"eu-west-1", "us-east-1", "ap-southeast-2"}

// file writes text to a file that a variable names.
func file(t *testing.T, variable, text string) string {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	t.Setenv(variable, path)
	return path
}

// world is a backend with the retries of a Fetcher.
type world struct {
	t       *testing.T
	backend *awssm.Backend
	timeout time.Duration
	log     *bytes.Buffer
}

func open(t *testing.T, given *aws.Config, allow func(*url.URL) error,
	timeout time.Duration) *world {
	w := &world{t: t, timeout: timeout, log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.backend = awssm.New(given, &httpguard.Policy{Allow: allow, Log: log}, log)
	t.Cleanup(w.backend.Close)
	return w
}

// fetched is the outcome for one reference.
type fetched struct {
	Text string
	Err  error
}

func (w *world) get(refs ...ref.Reference) []fetched {
	return w.getWith(context.Background(), refs...)
}

// getWith fetches all references concurrently.
func (w *world) getWith(ctx context.Context, refs ...ref.Reference) []fetched {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	got := make([]fetched, len(refs))
	var all sync.WaitGroup
	for i, r := range refs {
		all.Go(func() {
			_, got[i].Err = retry.Do(ctx, func(ctx context.Context) error {
				document, err := w.backend.Fetch(ctx, r.Target())
				got[i].Text = document.Text
				return err
			})
		})
	}
	all.Wait()
	return got
}

// one gets the secret of the fake.
func (w *world) one() (string, error) {
	got := w.get(db("eu-west-1"))[0]
	return got.Text, got.Err
}

func db(region string) ref.Reference {
	return ref.Reference{Kind: ref.AWS, Region: region, SecretID: "db"}
}

// good requires the value of the secret.
func (w *world) good() {
	w.t.Helper()
	text, err := w.one()
	require.NoError(w.t, err)
	require.Equal(w.t, "hunter2", text)
}

// fails requires an error of the kind that contains all texts and no canary.
func (w *world) fails(kind error, text ...string) {
	w.t.Helper()
	_, err := w.one()
	w.requireError(err, kind, text...)
}

// attemptFails is like fails, for one attempt without retries.
func (w *world) attemptFails(kind error, text ...string) {
	w.t.Helper()
	_, err := w.backend.Fetch(w.t.Context(),
		ref.Target{Kind: ref.AWS, Region: "eu-west-1", Secret: "db"})
	w.requireError(err, kind, text...)
}

func (w *world) requireError(err, kind error, text ...string) {
	w.t.Helper()
	require.ErrorIs(w.t, err, kind)
	for _, part := range text {
		require.Contains(w.t, err.Error(), part)
	}
	silent(w.t, err)
	require.NotContains(w.t, w.log.String(), canary)
}

// silent requires that no value that is reachable from err contains a canary.
func silent(t *testing.T, err error) {
	t.Helper()
	require.NotContains(t, err.Error(), canary)
	seen := map[uintptr]bool{}
	var look func(path string, v reflect.Value)
	look = func(path string, v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			require.NotContains(t, v.String(), canary, path)
		case reflect.Pointer:
			if !v.IsNil() && !seen[v.Pointer()] {
				seen[v.Pointer()] = true
				look(path+"*", v.Elem())
			}
		case reflect.Interface:
			if !v.IsNil() {
				look(path+"("+v.Elem().Type().String()+")", v.Elem())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				look(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
		case reflect.Slice, reflect.Array:
			if v.Type().Elem().Kind() == reflect.Uint8 && v.Kind() == reflect.Slice {
				require.NotContains(t, string(v.Bytes()), canary, path)
				return
			}
			for i := range v.Len() {
				look(path+"[]", v.Index(i))
			}
		case reflect.Map:
			for _, k := range v.MapKeys() {
				look(path+"[key]", k)
				look(path+"[]", v.MapIndex(k))
			}
		}
	}
	look("err", reflect.ValueOf(err))
}
