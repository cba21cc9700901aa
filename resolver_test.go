package secretref_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"log/slog"
	"math"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/test/vectors"
)

const canary = "c4nary-hunter2"

const (
	awsRef   = `{ENC}{"region":"eu-west-1","secretId":"db","secretPointer":"/password"}`
	vaultRef = `{ENC}{"mount":"secret","path":"db","key":"password","endpoint":"https://vault.example.com"}`
)

// requireSilent fails if any encoding of v, in any shape, holds the canary.
func requireSilent(t *testing.T, v any) {
	t.Helper()
	type holder struct {
		Exported any
		hidden   any
	}
	shapes := map[string]any{
		"value": v, "pointer": &v, "slice": []any{v}, "map": map[string]any{"k": v}, "map key": v,
		"exported field": holder{Exported: v}, "unexported field": holder{hidden: v}, "pointer to struct": &holder{v, v},
		"typed": typed(v), "error": fmt.Errorf("wrapped: %v", v),
	}
	for shape, x := range shapes {
		for _, verb := range "vTtbcdoOqxXUeEfFgGspw" {
			for _, flag := range []string{"", "+", "#", "-", " ", "0", "20.3"} {
				require.NotContains(t, fmt.Sprintf("%"+flag+string(verb), x), canary, "%s with %%%s%c", shape, flag, verb)
			}
		}
		require.NotContains(t, fmt.Sprint(x)+fmt.Sprintln(x), canary, shape)
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Error("m", "k", x, slog.Any("k", x), slog.Group("g", "k", x))
		slog.New(slog.NewJSONHandler(&log, nil)).Error("m", "k", x, slog.Any("k", x), slog.Group("g", "k", x))
		slog.New(slog.NewTextHandler(&log, nil)).With("k", x).Error("m")
		require.NotContains(t, log.String(), canary, shape)
		for name, encode := range map[string]func(any) ([]byte, error){"json": json.Marshal, "xml": xml.Marshal, "gob": encodeGob} {
			text, err := encode(x)
			require.NotContains(t, string(text), canary, "%s as %s", shape, name)
			if err != nil {
				require.NotContains(t, err.Error(), canary, "%s as %s", shape, name)
			}
		}
		var failure recorder
		assert.Equal(&failure, "another", x)
		assert.Nil(&failure, x)
		assert.Contains(&failure, []any{x}, "another")
		require.NotContains(t, failure.String(), canary, "%s in a failed assertion", shape)
	}
}

// recorder holds what a test library prints of a failure.
type recorder struct{ bytes.Buffer }

func (r *recorder) Errorf(format string, args ...any) { fmt.Fprintf(r, format, args...) }

// typed returns a struct whose fields have v's own type.
func typed(v any) any {
	t := reflect.TypeOf(v)
	s := reflect.New(reflect.StructOf([]reflect.StructField{
		{Name: "Field", Type: t}, {Name: "Slice", Type: reflect.SliceOf(t)}, {Name: "Map", Type: reflect.MapOf(reflect.TypeFor[string](), t)},
	})).Elem()
	s.Field(0).Set(reflect.ValueOf(v))
	s.Field(1).Set(reflect.Append(s.Field(1), reflect.ValueOf(v)))
	m := reflect.MakeMap(s.Field(2).Type())
	m.SetMapIndex(reflect.ValueOf("k"), reflect.ValueOf(v))
	s.Field(2).Set(m)
	return s.Interface()
}

func encodeGob(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func TestASecretRedactsItselfEverywhere(t *testing.T) {
	var pending secretref.Secret
	require.NoError(t, pending.UnmarshalText([]byte(canary)))
	for _, s := range []secretref.Secret{secretref.NewSecret(canary), pending} {
		requireSilent(t, s)
		require.Equal(t, "[redacted]", fmt.Sprint(s))
		require.Equal(t, "[redacted]", s.String())
		text, err := json.Marshal(map[string]any{"password": s, "p": &s})
		require.NoError(t, err)
		require.JSONEq(t, `{"password":"[redacted]","p":"[redacted]"}`, string(text))
	}
}

func TestASecretThatIsPrintedDoesNotComeBackAsAPassword(t *testing.T) {
	text, err := json.Marshal(secretref.NewSecret(canary))
	require.NoError(t, err)
	var back secretref.Secret
	require.ErrorIs(t, json.Unmarshal(text, &back), secretref.ErrSyntax)
	require.True(t, back.IsZero())
}

func TestSecretsAreComparedByTheirText(t *testing.T) {
	a, b := secretref.NewSecret("x"), secretref.NewSecret("x")
	require.True(t, a.Equal(b))
	require.False(t, a.Equal(secretref.NewSecret("y")))
	require.False(t, a.Equal(secretref.Secret{}))
	require.True(t, secretref.Secret{}.Equal(secretref.NewSecret("")))
	require.False(t, reflect.TypeFor[secretref.Secret]().Comparable(), "== does not compile")

	var pending secretref.Secret
	require.NoError(t, pending.UnmarshalText([]byte("x")))
	require.False(t, a.Equal(pending), "a reference is not the password it leads to")
}

func TestAnUnresolvedSecretPanicsRatherThanPassesForThePassword(t *testing.T) {
	var s secretref.Secret
	require.Empty(t, s.Reveal())
	require.True(t, s.IsZero())
	require.NoError(t, s.UnmarshalText([]byte(canary)))
	require.False(t, s.IsZero())
	defer func() {
		p := fmt.Sprint(recover())
		require.Contains(t, p, "ResolveStruct")
		require.NotContains(t, p, canary)
	}()
	_ = s.Reveal()
}

func TestParseReturnsTheKindsOfReference(t *testing.T) {
	for value, want := range map[string]secretref.Reference{
		awsRef: secretref.AWSReference{Region: "eu-west-1", SecretID: "db", SecretPointer: "/password"},
		`{"region":"eu-west-1","secretId":"db","endpointOverride":"https://x"}`: secretref.AWSReference{Region: "eu-west-1", SecretID: "db", EndpointOverride: "https://x"},
		vaultRef: secretref.VaultReference{Mount: "secret", Path: "db", Key: "password", Endpoint: "https://vault.example.com"},
		`{"mount":"m","path":"p","key":"k","endpoint":"https://v","authenticationType":"KUBERNETES"}`: secretref.VaultReference{
			Mount: "m", Path: "p", Key: "k", Endpoint: "https://v", AuthenticationType: secretref.VaultKubernetes},
		`{"keyring":"jdbc-password"}`: secretref.KeyringReference{Name: "jdbc-password"},
	} {
		got, err := secretref.Parse(value)
		require.NoError(t, err)
		require.Equal(t, want, got)
		again, err := secretref.Parse(got.String())
		require.NoError(t, err)
		require.Equal(t, got, again)
		require.True(t, got == again, "references are comparable")
	}
	_, err := secretref.Parse("hunter2")
	require.ErrorIs(t, err, secretref.ErrNotReference)
	_, err = secretref.Parse(`{"Region":"eu-west-1"}`)
	require.ErrorIs(t, err, secretref.ErrSyntax)
	_, err = secretref.Parse("{ATL_SECURED}")
	require.ErrorIs(t, err, secretref.ErrUnsupported)
}

func TestPlaintextIsReturnedExactlyAsWritten(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	for _, value := range []string{"hunter2", " hunter2 ", "{x9!", `{"a":1}`, "päss", "\xff"} {
		s, err := r.Resolve(t.Context(), value)
		require.NoError(t, err)
		require.Equal(t, value, s.Reveal())
	}
}

func TestEmptyValues(t *testing.T) {
	blank := []string{"", " ", "\n", "\t \r\n", "\u00a0", "\u3000"}
	for name, opts := range map[string]secretref.Options{"by default": {}, "under Strict": {Strict: true}} {
		t.Run("are refused "+name, func(t *testing.T) {
			opts.Fake = secretref.NewFake()
			r := secretref.New(&opts)
			defer r.Close()
			for _, value := range blank {
				_, err := r.Resolve(t.Context(), value)
				require.ErrorIs(t, err, secretref.ErrNotReference, "%q", value)
				require.ErrorContains(t, err, "is a variable not set")
				secrets, err := r.ResolveAll(t.Context(), "plain", value)
				require.ErrorIs(t, err, secretref.ErrNotReference)
				require.ErrorContains(t, err, "value 2: ")
				require.True(t, secrets[1].IsZero())
				_, err = r.Watch(t.Context(), value)
				require.ErrorIs(t, err, secretref.ErrNotReference)
				_, err = r.WatchAll(t.Context(), value)
				require.ErrorIs(t, err, secretref.ErrNotReference)
			}
		})
	}
	for name, opts := range map[string]secretref.Options{"AllowEmpty": {AllowEmpty: true}, "AllowEmpty and Strict": {AllowEmpty: true, Strict: true}} {
		t.Run("are secrets with "+name, func(t *testing.T) {
			opts.Fake = secretref.NewFake()
			r := secretref.New(&opts)
			defer r.Close()
			for _, value := range blank {
				s, err := r.Resolve(t.Context(), value)
				require.NoError(t, err)
				require.Equal(t, value, s.Reveal(), "exactly as written")
			}
		})
	}
	t.Run("are allowed in running text", func(t *testing.T) {
		r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
		defer r.Close()
		s, err := r.Expand(t.Context(), "", nil)
		require.NoError(t, err)
		require.True(t, s.IsZero())
	})
	t.Run("are the product's in its own file", func(t *testing.T) {
		var log bytes.Buffer
		r := secretref.New(&secretref.Options{Fake: secretref.NewFake(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		defer r.Close()
		settings, err := r.ResolveConfig(t.Context(), readConfig(t, "dbconfig.xml", jiraFile("password", "")))
		require.NoError(t, err)
		require.True(t, settings.Database.Password.IsZero())
		require.Contains(t, log.String(), "level=WARN")
	})
}

func TestLogger(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	defer slog.SetDefault(before)
	fake := secretref.NewFake()
	fake.Set(vaultRef, "")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	_, err := r.Resolve(t.Context(), vaultRef)
	require.NoError(t, err)
	require.Contains(t, log.String(), "level=WARN")
	require.NotContains(t, log.String(), "level=DEBUG", "only warnings")
}

func TestStrictRefusesPlaintextAndEmptyValues(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(awsRef, "x")
	fake.Set(vaultRef, "")
	r := secretref.New(&secretref.Options{Fake: fake, Strict: true})
	defer r.Close()
	for _, value := range []string{"", canary} {
		_, err := r.Resolve(t.Context(), value)
		require.ErrorIs(t, err, secretref.ErrNotReference)
		require.NotContains(t, err.Error(), canary)
	}
	_, err := r.Resolve(t.Context(), vaultRef)
	require.Error(t, err, "a secret that is empty")
	s, err := r.Resolve(t.Context(), awsRef)
	require.NoError(t, err)
	require.Equal(t, "x", s.Reveal())
}

func TestManyReferencesIntoOneSecretAreOneFetchOfOneVersion(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"user":"u","password":"p","port":5432,"tls":true}`)
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	at := func(pointer string) string {
		return `{"region":"eu-west-1","secretId":"db","secretPointer":"` + pointer + `"}`
	}
	got, err := r.ResolveAll(t.Context(), at("/user"), at("/password"), "plain", at("/port"), at("/tls"), at("/user"))
	require.NoError(t, err)
	require.Equal(t, []string{"u", "p", "plain", "5432", "true", "u"}, reveal(got))
	require.Equal(t, 1, fake.Calls())
}

func reveal(secrets []secretref.Secret) []string {
	texts := make([]string, len(secrets))
	for i, s := range secrets {
		texts[i] = s.Reveal()
	}
	return texts
}

func TestAllFailuresComeBackTogetherInOrderWithWhatResolved(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(awsRef, "good")
	fake.Fail(vaultRef, secretref.ErrDenied)
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	got, err := r.ResolveAll(t.Context(), vaultRef, awsRef, `{"keyring":"none"}`, "plain")
	require.Equal(t, []string{"", "good", "", "plain"}, reveal(got))
	require.ErrorIs(t, err, secretref.ErrDenied)
	require.ErrorIs(t, err, secretref.ErrNotFound)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], "secretref: value 1: "+vaultRef+": access denied")
	require.Contains(t, lines[1], `secretref: value 3: {ENC}{"keyring":"none"}: not found`)

	var located *secretref.Error
	require.ErrorAs(t, err, &located)
	require.Equal(t, "value 1", located.Source)
	require.Equal(t, vaultRef, located.Reference)
}

func TestNothingIsFetchedWhenOneValueIsMalformed(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(awsRef, "good")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	_, err := r.ResolveAll(t.Context(), awsRef, `{"region":"`+canary+`"`, "plain")
	require.ErrorIs(t, err, secretref.ErrSyntax)
	require.NotContains(t, err.Error(), canary)
	var located *secretref.Error
	require.ErrorAs(t, err, &located)
	require.Equal(t, "value 2", located.Source)
	require.Empty(t, located.Reference, "the text may be a password")
	require.Zero(t, fake.Calls())
}

func TestReferencesMadeByHandAreCheckedToo(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(awsRef, "x")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	s, err := r.ResolveReference(t.Context(), secretref.AWSReference{Region: "eu-west-1", SecretID: "db", SecretPointer: "/password"})
	require.NoError(t, err)
	require.Equal(t, "x", s.Reveal())
	for _, ref := range []secretref.Reference{
		nil, secretref.AWSReference{}, secretref.AWSReference{Region: "x/", SecretID: "y"}, secretref.AWSReference{Region: "x", SecretID: "y", SecretPointer: "z"},
		secretref.VaultReference{Mount: "m", Path: "../p", Key: "k", Endpoint: "https://v"}, secretref.VaultReference{Mount: "m", Path: "p", Key: "k"},
		secretref.KeyringReference{}, secretref.KeyringReference{Name: strings.Repeat("x", 1025)}, secretref.CustomReference{},
	} {
		_, err := r.ResolveReference(t.Context(), ref)
		require.ErrorIs(t, err, secretref.ErrSyntax, "%#v", ref)
	}
	_, err = r.ResolveReference(t.Context(), secretref.CustomReference{Class: "com.example.None", Coordinates: "x"})
	require.ErrorIs(t, err, secretref.ErrUnsupported)
	_, err = secretref.New(nil).ResolveReference(t.Context(), secretref.KeyringReference{Name: "x"})
	require.ErrorIs(t, err, secretref.ErrUnsupported, "no keyring is given")
}

// store is a Provider that a test controls.
func store(fetch func(context.Context, []byte) ([]byte, error)) []secretref.Provider {
	return []secretref.Provider{{ClassName: "com.example.Store", Fields: []string{"storeId"}, Fetch: fetch}}
}

func TestAProviderIsGivenItsCoordinates(t *testing.T) {
	r := secretref.New(&secretref.Options{Providers: store(func(_ context.Context, coordinates []byte) ([]byte, error) {
		return append([]byte("got "), coordinates...), nil
	})})
	defer r.Close()
	const value = `{ENC}{"storeId":"x", "more":[1]}`
	ref, err := r.Parse(value)
	require.NoError(t, err)
	require.Equal(t, secretref.CustomReference{Class: "com.example.Store", Coordinates: `{"storeId":"x", "more":[1]}`}, ref)
	again, err := r.Parse(ref.String())
	require.NoError(t, err)
	require.Equal(t, ref, again)

	s, err := r.Resolve(t.Context(), value)
	require.NoError(t, err)
	require.Equal(t, `got {"storeId":"x", "more":[1]}`, s.Reveal())
	_, err = secretref.Parse(value)
	require.ErrorIs(t, err, secretref.ErrSyntax, "the function Parse knows no Providers, and behind a prefix nothing is plaintext")
}

func TestAProvidersErrorsArePermanentUnlessUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := errors.New("store says " + canary)
		calls := 0
		var next error
		r := secretref.New(&secretref.Options{Providers: store(func(context.Context, []byte) ([]byte, error) {
			if calls++; calls < 3 {
				return nil, next
			}
			return []byte("x"), nil
		})})
		defer r.Close()

		next = own
		_, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
		require.ErrorIs(t, err, own, "reachable")
		require.NotContains(t, err.Error(), canary, "but not printed")
		require.Equal(t, 1, calls)

		calls, next = 0, fmt.Errorf("%w: %w", own, secretref.ErrUnavailable)
		s, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
		require.NoError(t, err)
		require.Equal(t, "x", s.Reveal())
		require.Equal(t, 3, calls)
	})
}

func TestAPanickingProviderFailsItsCallersOnly(t *testing.T) {
	r := secretref.New(&secretref.Options{Providers: store(func(context.Context, []byte) ([]byte, error) { panic(canary) })})
	defer r.Close()
	_, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.NotContains(t, err.Error(), canary)
}

func TestAProviderThatEndsItsGoroutineDoesNotGiveAnEmptyPassword(t *testing.T) {
	r := secretref.New(&secretref.Options{Providers: store(func(context.Context, []byte) ([]byte, error) {
		runtime.Goexit()
		return nil, nil
	})})
	defer r.Close()
	_, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
	require.ErrorIs(t, err, secretref.ErrUnavailable)
}

func TestAProviderThatIsCutOffIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := secretref.New(&secretref.Options{Timeout: time.Second, Providers: store(func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})})
		defer r.Close()
		_, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
		require.ErrorIs(t, err, secretref.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// leaky is an error whose fields an encoder would print.
type leaky struct{ Password string }

func (l leaky) Error() string { return "says " + l.Password }

func TestNothingPrintsTheCauseOfAnError(t *testing.T) {
	var events []secretref.FetchEvent
	r := secretref.New(&secretref.Options{
		Providers: store(func(context.Context, []byte) ([]byte, error) { return nil, leaky{canary} }),
		OnFetch:   func(e secretref.FetchEvent) { events = append(events, e) },
		Vault:     secretref.VaultOptions{Token: func(context.Context) (string, error) { return "", &leaky{canary} }},
	})
	defer r.Close()
	_, one := r.Resolve(t.Context(), `{"storeId":"a"}`)
	_, two := r.Resolve(t.Context(), vaultRef)
	require.ErrorAs(t, one, new(leaky), "it is reachable")
	for _, err := range []error{one, two} {
		requireSilent(t, err)
		var located *secretref.Error
		require.ErrorAs(t, err, &located)
		requireSilent(t, *located)
	}
	require.Len(t, events, 2)
	for _, e := range events {
		requireSilent(t, e)
	}
}

func TestParsingAllocatesNothingButTheReference(t *testing.T) {
	const boxed = 1 // a Reference is an interface, and what it holds is on the heap
	for name, c := range map[string]struct {
		value  string
		allocs float64
	}{
		"plaintext":                    {"hunter2", 0},
		"plaintext in capital letters": {"Xy7$kQ-Wz!9", 0},
		"plaintext with a colon":       {"Xy7:kQ=Wz!9", 0},
		"plaintext with a brace":       {"{x9!", 0},
		"plaintext that is JSON":       {`{"Key":"V","User":"Admin"}`, 0},
		"plaintext that is a URL":      {"jdbc:postgresql://db.example.com/jira?user=x&password=Y", 0},
		"nothing":                      {"", 0},
		"AWS":                          {awsRef, boxed},
		"AWS without a prefix":         {strings.TrimPrefix(awsRef, "{ENC}"), boxed},
		"AWS with white space":         {" " + awsRef + "\n", boxed},
		"Vault":                        {vaultRef, boxed},
		"Vault with a port and a path": {`{ENC}{"mount":"a","path":"b/c","key":"d","endpoint":"http://127.0.0.1:8200/base/","authenticationType":"KUBERNETES"}`, boxed},
		"keyring":                      {`{ENC}{"keyring":"jdbc-password"}`, boxed},
		"a name with an escape":        {`{ENC}{"keyring":"a\nb"}`, boxed + 1}, // the name cannot be a part of the value
	} {
		t.Run(name, func(t *testing.T) {
			got := testing.AllocsPerRun(100, func() { _, _ = secretref.Parse(c.value) })
			require.Equal(t, c.allocs, got)
		})
	}
}

func TestNewIsFourObjects(t *testing.T) {
	var r *secretref.Resolver
	got := testing.AllocsPerRun(100, func() { r = secretref.New(nil) })
	require.Equal(t, 4.0, got, "itself, its state, what hides that, and a logger")
	require.NoError(t, r.Close())
}

// The testing package notes which variables and files a program looks at.
func TestNewAndParsingAskNothingOfTheSystem(t *testing.T) {
	const child, begin, end = "SECRETREF_TEST_CHILD", "SECRETREF_TEST_BEGIN", "SECRETREF_TEST_END"
	if os.Getenv(child) == "" {
		log := filepath.Join(t.TempDir(), "log")
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.testlogfile="+log)
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		asked, err := os.ReadFile(log)
		require.NoError(t, err)
		require.Contains(t, string(asked), "getenv "+begin+"\ngetenv "+end+"\n")
		return
	}
	before := runtime.NumGoroutine()
	os.Getenv(begin)
	for _, opts := range []*secretref.Options{nil, {TTL: time.Hour, Strict: true, AWS: secretref.AWSOptions{Batch: true}}, {Fake: secretref.NewFake()}} {
		r := secretref.New(opts)
		for _, value := range []string{"hunter2", awsRef, vaultRef, `{ENC}{"keyring":"x"}`, `{"Region":"x"}`, ""} {
			_, _ = r.Parse(value)
			_, _ = secretref.Parse(value)
		}
	}
	os.Getenv(end)
	require.Equal(t, before, runtime.NumGoroutine())
}

func TestAReferenceMadeByHandThatIsRefusedIsNotPrinted(t *testing.T) {
	r := secretref.New(nil)
	defer r.Close()
	for _, ref := range []secretref.Reference{
		secretref.VaultReference{Mount: "m", Path: "p", Key: "k", Endpoint: "https://u:" + canary + "@v"},
		&secretref.VaultReference{Mount: "m", Path: "p", Key: "k", Endpoint: "https://u:" + canary + "@v"},
		secretref.VaultReference{Mount: "m", Path: "p", Key: "k", Endpoint: "https://v", AuthenticationType: 7},
		secretref.AWSReference{Region: "x", SecretID: strings.Repeat("a", 70_000)},
	} {
		_, err := r.ResolveReference(t.Context(), ref)
		require.ErrorIs(t, err, secretref.ErrSyntax)
		require.NotContains(t, err.Error(), canary)
		require.Less(t, len(err.Error()), 300)
	}
}

func TestAFakeDoesNotPrintItsSecrets(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(awsRef, canary)
	requireSilent(t, fake)
}

func TestTheWaitForATurnIsNotPartOfTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := secretref.New(&secretref.Options{Timeout: 3 * time.Second, Providers: store(func(context.Context, []byte) ([]byte, error) {
			time.Sleep(time.Second)
			return []byte("x"), nil
		})})
		defer r.Close()
		values := make([]string, 300)
		for i := range values {
			values[i] = fmt.Sprintf(`{"storeId":"%d"}`, i)
		}
		_, err := r.ResolveAll(t.Context(), values...)
		require.NoError(t, err)
	})
}

func TestNobodyWaitsLongForATurnWithAGoodValueInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hangs atomic.Bool
		r := secretref.New(&secretref.Options{Logger: slog.New(slog.DiscardHandler), Providers: store(func(ctx context.Context, coordinates []byte) ([]byte, error) {
			if hangs.Load() {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return coordinates, nil
		})})
		defer r.Close()
		values := make([]string, 1000)
		for i := range values {
			values[i] = fmt.Sprintf(`{"storeId":"%d"}`, i)
		}
		_, err := r.ResolveAll(t.Context(), values...)
		require.NoError(t, err)
		hangs.Store(true)
		time.Sleep(10 * time.Minute)
		start := time.Now()
		secrets, err := r.ResolveAll(t.Context(), values...)
		require.NoError(t, err)
		for i, secret := range secrets {
			require.Equal(t, values[i], secret.Reveal())
		}
		require.LessOrEqual(t, time.Since(start), 4*time.Second)
	})
}

func TestNewPanicsOnAProviderThatCannotWork(t *testing.T) {
	fetch := func(context.Context, []byte) ([]byte, error) { return nil, nil }
	for name, providers := range map[string][]secretref.Provider{
		"no Fetch":                {{ClassName: "a"}},
		"neither class nor field": {{Fetch: fetch}},
		"twice the same class":    {{ClassName: "a", Fetch: fetch}, {ClassName: "a", Fetch: fetch}},
		"a product's own class":   {{ClassName: "com.atlassian.secrets.store.aws.AwsSecretsManagerStore", Fetch: fetch}},
		"an empty field":          {{Fields: []string{"a", ""}, Fetch: fetch}},
		"only built-in fields":    {{Fields: []string{"region", "key"}, Fetch: fetch}},
	} {
		require.Panics(t, func() { secretref.New(&secretref.Options{Providers: providers}) }, name)
	}
}

func TestOneCallersEndDoesNotFailTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := secretref.New(&secretref.Options{Providers: store(func(ctx context.Context, _ []byte) ([]byte, error) {
			calls++
			select {
			case <-time.After(time.Second):
				return []byte("x"), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})})
		defer r.Close()
		var callers sync.WaitGroup
		callers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			_, err := r.Resolve(ctx, `{"storeId":"a"}`)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, secretref.ErrUnavailable)
		})
		for range 99 {
			callers.Go(func() {
				s, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
				require.NoError(t, err)
				require.Equal(t, "x", s.Reveal())
			})
		}
		callers.Wait()
		require.Equal(t, 1, calls)
	})
}

func TestAtMostFiftyFetchesOfOneBackendRunAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, calls atomic.Int32
		r := secretref.New(&secretref.Options{Providers: store(func(context.Context, []byte) ([]byte, error) {
			calls.Add(1)
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			now.Add(-1)
			return []byte("x"), nil
		})})
		defer r.Close()
		var values []string
		for i := range 200 {
			values = append(values, fmt.Sprintf(`{"storeId":"%d"}`, i))
		}
		start := time.Now()
		_, err := r.ResolveAll(t.Context(), values...)
		require.NoError(t, err)
		require.EqualValues(t, 50, most.Load())
		require.EqualValues(t, 200, calls.Load())
		require.Equal(t, 4*time.Second, time.Since(start), "side by side")
	})
}

func TestTimeoutBoundsAFetchWithAllItsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events []secretref.FetchEvent
		r := secretref.New(&secretref.Options{
			Timeout:   3 * time.Second,
			Providers: store(func(context.Context, []byte) ([]byte, error) { return nil, secretref.ErrUnavailable }),
			OnFetch:   func(e secretref.FetchEvent) { events = append(events, e) },
		})
		defer r.Close()
		start := time.Now()
		_, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
		require.ErrorIs(t, err, secretref.ErrUnavailable)
		require.LessOrEqual(t, time.Since(start), 3*time.Second)
		require.Len(t, events, 1)
		require.Equal(t, "com.example.Store", events[0].Backend)
		require.Greater(t, events[0].Attempts, 2)
		require.ErrorIs(t, events[0].Err, secretref.ErrUnavailable)
		require.Equal(t, time.Since(start), events[0].Duration)
	})
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := secretref.New(&secretref.Options{Providers: store(func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})})
		done := make(chan error)
		go func() {
			_, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
			done <- err
		}()
		synctest.Wait()
		require.NoError(t, r.Close())
		require.Error(t, <-done)
		_, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
		require.ErrorIs(t, err, secretref.ErrUnavailable)
		require.NoError(t, r.Close(), "twice is harmless")
		s, err := r.Resolve(t.Context(), "plain")
		require.NoError(t, err)
		require.Equal(t, "plain", s.Reveal())
	}) // the bubble fails if a goroutine is left
}

func TestCloseBeforeTheFirstUse(t *testing.T) {
	asked := false
	r := secretref.New(&secretref.Options{Providers: store(func(context.Context, []byte) ([]byte, error) {
		asked = true
		return []byte("x"), nil
	})})
	require.NoError(t, r.Close())
	_, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	_, err = r.Watch(t.Context(), `{"storeId":"a"}`)
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.False(t, asked)
}

func TestTheErrorOfPlaintextIsAnErrorOfItsOwn(t *testing.T) {
	_, err := secretref.Parse("hunter2")
	require.ErrorIs(t, err, secretref.ErrNotReference)
	var e, another *secretref.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, e.Error(), err.Error())
	e.Source = "app.conf:3"
	_, err = secretref.Parse("hunter3")
	require.ErrorAs(t, err, &another)
	require.Empty(t, another.Source)
	require.NotContains(t, err.Error(), "app.conf")
}

func TestTheFakeAnswersLikeABackend(t *testing.T) {
	fake := secretref.NewFake()
	r := secretref.New(&secretref.Options{Fake: fake, TTL: -1})
	defer r.Close()
	resolve := func(value string) (string, error) {
		s, err := r.Resolve(t.Context(), value)
		return s.Reveal(), err
	}
	_, err := resolve(awsRef)
	require.ErrorIs(t, err, secretref.ErrNotFound)

	fake.Set(awsRef, "one")
	text, err := resolve(`<ENC>` + strings.TrimPrefix(awsRef, "{ENC}"))
	require.NoError(t, err)
	require.Equal(t, "one", text)
	_, err = resolve(strings.Replace(awsRef, "/password", "/other", 1))
	require.ErrorIs(t, err, secretref.ErrPointer)

	fake.Set(`{"region":"eu-west-1","secretId":"doc"}`, `{"a":{"b":"two"}}`)
	text, err = resolve(`{"region":"eu-west-1","secretId":"doc","secretPointer":"/a/b"}`)
	require.NoError(t, err)
	require.Equal(t, "two", text)
	_, err = resolve(`{"region":"eu-west-1","secretId":"doc","secretPointer":"/a"}`)
	require.ErrorIs(t, err, secretref.ErrPointer)

	fake.Fail(awsRef, secretref.ErrUnavailable)
	before := fake.Calls()
	_, err = resolve(awsRef)
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.Equal(t, 1, fake.Calls()-before, "a failure that a test asked for is not waited for")
	fake.Fail(awsRef, nil)
	text, err = resolve(awsRef)
	require.NoError(t, err)
	require.Equal(t, "one", text)
	require.Panics(t, func() { fake.Set("plain", "x") })
}

// Ten thousand ways in which a value can be broken, from two that are right.
func TestNoMutationOfAReferenceEndsAsAPassword(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	for _, whole := range []string{awsRef, vaultRef, strings.TrimPrefix(awsRef, "{ENC}"), strings.TrimPrefix(vaultRef, "{ENC}")} {
		for i := range whole {
			for _, broken := range []string{
				whole[:i] + whole[i+1:],                                 // left out
				whole[:i] + whole[i:i+1] + whole[i:],                    // doubled
				whole[:i] + "x" + whole[i+1:],                           // replaced
				whole[:i] + " " + whole[i:],                             // split
				whole[:i] + strings.ToUpper(whole[i:i+1]) + whole[i+1:], // another case
				whole[:i] + strings.ToLower(whole[i:i+1]) + whole[i+1:],
				whole[:i] + `\` + whole[i:],
			} {
				s, err := r.Resolve(t.Context(), broken)
				require.Error(t, err, broken)
				require.True(t, s.IsZero())
			}
		}
	}
}

func TestAPasswordInThePlaceOfTheClassIsNotQuoted(t *testing.T) {
	r := secretref.New(nil)
	defer r.Close()
	c := &secretref.ConfigFile{Product: secretref.Jira, Path: "dbconfig.xml", Entries: []secretref.Entry{
		{Key: "jdbc-datasource/password", Value: secretref.NewSecret("com.example.Store"), Line: 1},
		{Key: "jdbc-datasource/atlassian-password-cipher-provider", Value: secretref.NewSecret(canary), Line: 2},
	}}
	_, err := r.ResolveConfig(t.Context(), c)
	require.ErrorIs(t, err, secretref.ErrUnsupported)
	require.NotContains(t, err.Error(), canary)
}

func TestAUserNameCanBeAReference(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"user":"bitbucket","password":"`+canary+`"}`)
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	entry := func(key, pointer string) secretref.Entry {
		return secretref.Entry{Key: key, Value: secretref.NewSecret(`{ENC}{"region":"eu-west-1","secretId":"db","secretPointer":"` + pointer + `"}`), Line: 1}
	}
	c := &secretref.ConfigFile{Product: secretref.Bitbucket, Entries: []secretref.Entry{entry("jdbc.user", "/user"), entry("jdbc.password", "/password")}}
	settings, err := r.ResolveConfig(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, "bitbucket", settings.Database.Username)
	require.Equal(t, canary, settings.Database.Password.Reveal())
	require.Equal(t, 1, fake.Calls())

	c.Entries[0] = entry("jdbc.user", "/nobody")
	settings, err = r.ResolveConfig(t.Context(), c)
	require.ErrorIs(t, err, secretref.ErrPointer)
	require.Empty(t, settings.Database.Username, "a reference is no user name")
}

func TestADatabaseWithoutAPasswordIsToldOf(t *testing.T) {
	c := &secretref.ConfigFile{Product: secretref.Confluence, Path: "confluence.cfg.xml", Entries: []secretref.Entry{
		{Key: "hibernate.connection.url", Value: secretref.NewSecret("jdbc:postgresql://db/c?password=" + canary), Line: 1},
	}}
	var log bytes.Buffer
	r := secretref.New(&secretref.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	defer r.Close()
	settings, err := r.ResolveConfig(t.Context(), c)
	require.NoError(t, err)
	require.Contains(t, log.String(), "no password")
	require.NotContains(t, log.String()+fmt.Sprintf("%+v %#v", settings, *settings), canary)

	strict := secretref.New(&secretref.Options{Strict: true})
	defer strict.Close()
	_, err = strict.ResolveConfig(t.Context(), c)
	require.ErrorIs(t, err, secretref.ErrNotReference)
}

func TestExpandRefusesWhatWasMeantAsAReference(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	_, err := r.Expand(t.Context(), "a\npassword={ATL_SECURED}", nil)
	require.ErrorIs(t, err, secretref.ErrUnsupported)
	require.Contains(t, err.Error(), "line 2")
	for _, text := range []string{`ENC{"region":"x"}`, `{ENC"region":"x"}`, `{ECN}{"region":"x"}`, strings.Repeat("{ENC}", 1<<16)} {
		_, err := r.Expand(t.Context(), "p="+text, nil)
		require.ErrorIs(t, err, secretref.ErrSyntax)
		require.Less(t, len(err.Error()), 10_000)
	}
}

func TestTheReadmesTenLinesAreTheOnesThatCompile(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(readme), "```go\n")
	require.True(t, ok)
	lines, _, _ := strings.Cut(rest, "```")
	examples, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	for line := range strings.Lines(lines) {
		if strings.TrimSpace(line) != "" {
			require.Contains(t, string(examples), "\t"+line)
		}
	}
}

const (
	awsClass   = "com.atlassian.secrets.store.aws.AwsSecretsManagerStore"
	vaultClass = "com.atlassian.secrets.store.vault.VaultSecretStore"

	base64Class    = "com.atlassian.secrets.store.base64.Base64SecretStore"
	oldBase64      = "com.atlassian.db.config.password.ciphers.base64.Base64Cipher"
	algorithmClass = "com.atlassian.secrets.store.algorithm.AlgorithmSecretStore"
	oldAlgorithm   = "com.atlassian.db.config.password.ciphers.algorithm.AlgorithmCipher"
	crowdsCipher   = "com.atlassian.db.config.password.ciphers.algorithm.AesOnlyAlgorithmCipher"
)

const jiraPassword, jiraClass = "jdbc-datasource/password", "jdbc-datasource/atlassian-password-cipher-provider"

// write makes a file of that name in a directory of its own.
func write(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func readConfig(t *testing.T, name, text string) *secretref.ConfigFile {
	t.Helper()
	c, err := secretref.ReadConfig(write(t, name, text))
	require.NoError(t, err)
	return c
}

func sample(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(path)))
	require.NoError(t, err)
	return string(text)
}

// element writes an XML element.
func element(name, attr, text string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		panic(err)
	}
	return "<" + name + attr + ">" + b.String() + "</" + name + ">\n"
}

// jiraFile is a dbconfig.xml with the elements of its data source in the order
// given: name, text, name, text …
func jiraFile(elements ...string) string {
	var b strings.Builder
	for i := 0; i < len(elements); i += 2 {
		b.WriteString(element(elements[i], "", elements[i+1]))
	}
	return "<jira-database-config>\n<jdbc-datasource>\n" + b.String() + "</jdbc-datasource>\n</jira-database-config>\n"
}

// confluenceFile is a confluence.cfg.xml with these properties.
func confluenceFile(properties ...string) string {
	var b strings.Builder
	for i := 0; i < len(properties); i += 2 {
		b.WriteString(element("property", ` name="`+properties[i]+`"`, properties[i+1]))
	}
	return "<confluence-configuration>\n<properties>\n" + b.String() + "</properties>\n</confluence-configuration>\n"
}

// setting is an Entry whose value can be compared.
type setting struct {
	Key, Value string
	Line       int
}

func settingsOf(c *secretref.ConfigFile) []setting {
	var list []setting
	for _, e := range c.Entries {
		list = append(list, setting{e.Key, e.Value.Reveal(), e.Line})
	}
	return list
}

func TestAProductsFileIsReadFromItsPathOrItsHome(t *testing.T) {
	for home, want := range map[string]struct {
		product secretref.Product
		file    string
		entries []setting
	}{
		"testdata/jira": {secretref.Jira, "dbconfig.xml", []setting{
			{Key: "name", Value: "defaultDS", Line: 4},
			{Key: "delegator-name", Value: "default", Line: 5},
			{Key: "database-type", Value: "postgres72", Line: 6},
			{Key: "schema-name", Value: "public", Line: 7},
			{Key: "jdbc-datasource/url", Value: "jdbc:postgresql://dbserver:5432/jiradb", Line: 9},
			{Key: "jdbc-datasource/driver-class", Value: "org.postgresql.Driver", Line: 10},
			{Key: "jdbc-datasource/username", Value: "jiradbuser", Line: 11},
			{Key: jiraClass, Value: awsClass, Line: 12},
			{Key: jiraPassword, Value: `{"region":"ap-southeast-2","secretId":"mySecretId", "secretPointer": "/password"}`, Line: 13},
			{Key: "jdbc-datasource/pool-min-size", Value: "20", Line: 14},
			{Key: "jdbc-datasource/pool-max-size", Value: "100", Line: 15},
			{Key: "jdbc-datasource/pool-max-wait", Value: "30000", Line: 16},
			{Key: "jdbc-datasource/validation-query", Value: "select version();", Line: 17},
			{Key: "jdbc-datasource/min-evictable-idle-time-millis", Value: "60000", Line: 18},
			{Key: "jdbc-datasource/time-between-eviction-runs-millis", Value: "300000", Line: 19},
			{Key: "jdbc-datasource/pool-max-idle", Value: "20", Line: 20},
			{Key: "jdbc-datasource/pool-remove-abandoned", Value: "true", Line: 21},
			{Key: "jdbc-datasource/pool-remove-abandoned-timeout", Value: "300", Line: 22},
			{Key: "jdbc-datasource/pool-test-on-borrow", Value: "false", Line: 23},
			{Key: "jdbc-datasource/pool-test-while-idle", Value: "true", Line: 24},
			{Key: "jdbc-datasource/connection-properties", Value: "tcpKeepAlive=true", Line: 25},
		}},
		"testdata/confluence": {secretref.Confluence, "confluence.cfg.xml", []setting{
			{Key: "setupStep", Value: "complete", Line: 4},
			{Key: "setupType", Value: "custom", Line: 5},
			{Key: "buildNumber", Value: "9012", Line: 6},
			{Key: "attachments.dir", Value: "${confluenceHome}/attachments", Line: 8},
			{Key: "confluence.cluster", Value: "true", Line: 9},
			{Key: "confluence.cluster.home", Value: "/var/atlassian/application-data/shared-home", Line: 10},
			{Key: "confluence.database.choice", Value: "postgresql", Line: 11},
			{Key: "confluence.webapp.context.path", Value: "", Line: 12},
			{Key: "hibernate.connection.driver_class", Value: "org.postgresql.Driver", Line: 13},
			{Key: "hibernate.connection.password", Value: `{"mount": "secret", "path": "sample/secret", "key": "password", ` +
				`"endpoint": "https://vault.example.com:8200", "authenticationType": "KUBERNETES"}`, Line: 14},
			{Key: "hibernate.connection.url", Value: "jdbc:postgresql://dbserver:5432/confluence?ssl=true&sslmode=require", Line: 15},
			{Key: "hibernate.connection.username", Value: "confluenceuser", Line: 16},
			{Key: "hibernate.setup", Value: "true", Line: 17},
			{Key: "jdbc.password.decrypter.classname", Value: vaultClass, Line: 18},
			{Key: "lucene.index.dir", Value: "${localHome}/index", Line: 19},
		}},
		"testdata/bitbucket": {secretref.Bitbucket, "shared/bitbucket.properties", []setting{
			{Key: "server.port", Value: "7990", Line: 2},
			{Key: "server.secure", Value: "true", Line: 3},
			{Key: "encrypted-property.cipher.classname", Value: awsClass, Line: 4},
			{Key: "jdbc.driver", Value: "org.postgresql.Driver", Line: 5},
			{Key: "jdbc.url", Value: "jdbc:postgresql://primary:5432/bitbucket?ssl=require&targetServerType=master", Line: 6},
			{Key: "jdbc.user", Value: "bitbucket", Line: 7},
			{Key: "jdbc.password", Value: `{ENC}{"region":"ap-southeast-2","secretId":"mySecretId", "secretPointer": "/password"}`, Line: 8},
			{Key: "hazelcast.group.password", Value: "plain-text-stays-plain", Line: 9},
			{Key: "plugin.search.config.username", Value: "bitbucket", Line: 10},
			{Key: "plugin.search.config.password", Value: `{ENC}{"region":"ap-southeast-2","secretId":"search"}`, Line: 11},
		}},
		"testdata/bamboo": {secretref.Bamboo, "bamboo.cfg.xml", []setting{
			{Key: "setupStep", Value: "complete", Line: 4},
			{Key: "setupType", Value: "custom", Line: 5},
			{Key: "buildNumber", Value: "90413", Line: 6},
			{Key: "bamboo.artifacts.directory", Value: "${bambooHome}/artifacts", Line: 8},
			{Key: "bamboo.config.directory", Value: "${bambooHome}/xml-data/configuration", Line: 9},
			{Key: "bamboo.jms.broker.uri", Value: "nio://0.0.0.0:54663", Line: 10},
			{Key: "daily.backup.dir", Value: "${bambooHome}/backups", Line: 11},
			{Key: "hibernate.c3p0.max_size", Value: "100", Line: 12},
			{Key: "hibernate.connection.driver_class", Value: "org.postgresql.Driver", Line: 13},
			{Key: "hibernate.connection.password", Value: "YmFtYm9vJ3Mgb3du", Line: 14},
			{Key: "hibernate.connection.url", Value: "jdbc:postgresql://dbserver:5432/bamboo", Line: 15},
			{Key: "hibernate.connection.username", Value: "bamboouser", Line: 16},
			{Key: "hibernate.dialect", Value: "com.atlassian.bamboo.hibernate.PostgreSQLDialect", Line: 17},
			{Key: "jdbc.password.decrypter.classname", Value: base64Class, Line: 18},
			{Key: "license.string", Value: "AAAB", Line: 19},
			{Key: "serverKey", Value: "287", Line: 20},
		}},
		"testdata/crowd": {secretref.Crowd, "shared/crowd.cfg.xml", []setting{
			{Key: "setupStep", Value: "complete", Line: 4},
			{Key: "setupType", Value: "install.new", Line: 5},
			{Key: "buildNumber", Value: "1900", Line: 6},
			{Key: "crowd.server.id", Value: "BXSW-7Z33-9PLP-6Q5T", Line: 8},
			{Key: "hibernate.c3p0.max_size", Value: "30", Line: 9},
			{Key: "hibernate.connection.driver_class", Value: "org.postgresql.Driver", Line: 10},
			{Key: "hibernate.connection.password", Value: `{"sealedObjectFilePath":"keys/db/javax.crypto.SealedObject_1629979543",` +
				`"keyFilePath":"keys/db/javax.crypto.spec.SecretKeySpec_1629979543"}`, Line: 11},
			{Key: "hibernate.connection.url", Value: "jdbc:postgresql://dbserver:5432/crowd?reWriteBatchedInserts=true", Line: 12},
			{Key: "hibernate.connection.username", Value: "crowduser", Line: 13},
			{Key: "hibernate.dialect", Value: "org.hibernate.dialect.PostgreSQLDialect", Line: 14},
			{Key: "jdbc.password.decrypter.classname", Value: crowdsCipher, Line: 15},
			{Key: "license", Value: "AAAB", Line: 16},
		}},
	} {
		file := filepath.Join(home, filepath.FromSlash(want.file))
		for _, path := range []string{home, home + "/", file} {
			c, err := secretref.ReadConfig(path)
			require.NoError(t, err)
			require.Equal(t, want.product, c.Product)
			require.Equal(t, file, c.Path)
			require.Equal(t, want.entries, settingsOf(c))
		}
	}
}

func TestTheSampleFilesResolve(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"region":"ap-southeast-2","secretId":"mySecretId"}`, `{"password":"from AWS"}`)
	fake.Set(`{"region":"ap-southeast-2","secretId":"search"}`, "for search")
	fake.Set(`{"mount":"secret","path":"sample/secret","key":"password","endpoint":"https://vault.example.com:8200","authenticationType":"KUBERNETES"}`, "from Vault")
	r := secretref.New(&secretref.Options{Fake: fake, Strict: true})
	defer r.Close()
	type database struct{ driver, url, username, schema string }
	const driver = "org.postgresql.Driver"
	for home, want := range map[string]struct {
		database database
		password string
		secrets  map[string]string
	}{
		"testdata/jira": {database{driver, "jdbc:postgresql://dbserver:5432/jiradb", "jiradbuser", "public"},
			"from AWS", map[string]string{jiraPassword: "from AWS"}},
		"testdata/confluence": {database{driver, "jdbc:postgresql://dbserver:5432/confluence?ssl=true&sslmode=require", "confluenceuser", ""},
			"from Vault", map[string]string{"hibernate.connection.password": "from Vault"}},
		"testdata/bitbucket": {database{driver, "jdbc:postgresql://primary:5432/bitbucket?ssl=require&targetServerType=master", "bitbucket", ""},
			"from AWS", map[string]string{"jdbc.password": "from AWS", "plugin.search.config.password": "for search"}},
		"testdata/bamboo": {database{driver, "jdbc:postgresql://dbserver:5432/bamboo", "bamboouser", ""},
			"bamboo's own", map[string]string{"hibernate.connection.password": "bamboo's own"}},
		"testdata/crowd": {database{driver, "jdbc:postgresql://dbserver:5432/crowd?reWriteBatchedInserts=true", "crowduser", ""},
			"päßwörd-密码", map[string]string{"hibernate.connection.password": "päßwörd-密码"}},
	} {
		c, err := secretref.ReadConfig(home)
		require.NoError(t, err)
		got, err := r.ResolveConfig(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, c.Product, got.Product)
		require.Equal(t, want.password, got.Database.Password.Reveal())
		require.Equal(t, want.secrets, revealMap(got.Secrets))
		d := got.Database
		require.Equal(t, want.database, database{d.Driver, d.URL.Reveal(), d.Username, d.Schema})
	}
}

func revealMap(secrets map[string]secretref.Secret) map[string]string {
	texts := map[string]string{}
	for key, s := range secrets {
		texts[key] = s.Reveal()
	}
	return texts
}

func TestPropertiesAreReadAsJavaReadsThem(t *testing.T) {
	for _, v := range vectors.LoadProperties(t) {
		t.Run(v.Name, func(t *testing.T) {
			want := v.UTF8
			if !utf8.Valid(v.Input) {
				want = v.Latin1
			}
			if strings.Contains(v.Name, "lone surrogate") {
				want = nil // Java keeps what no Go string can hold
			}
			c, err := secretref.ReadConfig(write(t, "bitbucket.properties", string(v.Input)))
			if want == nil {
				require.ErrorIs(t, err, secretref.ErrSyntax)
				return
			}
			require.NoError(t, err)
			got := map[string]string{}
			for _, e := range c.Entries {
				value, ok := c.Get(e.Key)
				require.True(t, ok)
				got[e.Key] = value.Reveal()
			}
			require.Equal(t, *want, got)
		})
	}
}

func TestXMLIsReadAsDom4jReadsIt(t *testing.T) {
	for _, v := range vectors.LoadXML(t) {
		t.Run(v.Name, func(t *testing.T) {
			require.Contains(t, []string{"dbconfig", "confluence"}, v.Kind)
			name, key, join := "dbconfig.xml", jiraPassword, "/"
			if v.Kind == "confluence" {
				name, key, join = "confluence.cfg.xml", "hibernate.connection.password", "="
			}
			c, err := secretref.ReadConfig(write(t, name, string(v.Input)))
			switch {
			case bytes.Contains(v.Input, []byte("<!DOCTYPE")), strings.Contains(v.Name, "unknown encoding"):
				require.ErrorIs(t, err, secretref.ErrUnsupported, "a subset is refused although dom4j takes it")
				return
			case v.GetText == nil:
				require.ErrorIs(t, err, secretref.ErrSyntax)
				return
			}
			require.NoError(t, err)
			got := []string{}
			for _, e := range c.Entries {
				if strings.TrimSpace(e.Key) == key {
					got = append(got, strings.TrimSuffix(e.Key, "/password")+join+e.Value.Reveal())
				}
			}
			require.Equal(t, *v.GetText, got)
		})
	}
}

func TestOfSeveralEntriesGetReturnsTheOneTheProductUses(t *testing.T) {
	for name, row := range map[string]struct{ file, text, key, want string }{
		"the last in properties": {"bitbucket.properties", "a=1\njdbc.url=2\na = 3\n", "a", "3"},
		"the first in dbconfig":  {"dbconfig.xml", jiraFile("url", "1", "url", "2"), "jdbc-datasource/url", "1"},
		"the last in Confluence": {"confluence.cfg.xml", confluenceFile("a", "1", "a", "2"), "a", "2"},
	} {
		got, ok := readConfig(t, row.file, row.text).Get(row.key)
		require.True(t, ok, name)
		require.Equal(t, row.want, got.Reveal(), name)
	}
	_, ok := readConfig(t, "bitbucket.properties", "a=1").Get("A")
	require.False(t, ok)
}

func TestOnlyPropertiesWithANameAreConfluencesProperties(t *testing.T) {
	c := readConfig(t, "confluence.cfg.xml", `<confluence-configuration><a>1</a><properties>
<property name="b">2</property><property>3</property><other name="hibernate.connection.password">4</other><property NAME="hibernate.connection.password">5</property>
</properties></confluence-configuration>`)
	require.Equal(t, []setting{{"a", "1", 1}, {"b", "2", 2}}, settingsOf(c))
}

func TestTheFormOfAFileDoesNotMatter(t *testing.T) {
	text := sample(t, "jira/dbconfig.xml")
	want, err := secretref.ReadConfig("testdata/jira")
	require.NoError(t, err)
	for name, other := range map[string]struct{ file, text string }{
		"Windows line ends":       {"dbconfig.xml", strings.ReplaceAll(text, "\n", "\r\n")},
		"old Mac line ends":       {"dbconfig.xml", strings.ReplaceAll(text, "\n", "\r")},
		"a byte order mark":       {"dbconfig.xml", "\ufeff" + text},
		"UTF-16":                  {"dbconfig.xml", utf16Text(strings.Replace(text, "UTF-8", "UTF-16", 1), binary.LittleEndian)},
		"UTF-16, big-endian":      {"dbconfig.xml", utf16Text(strings.Replace(text, "UTF-8", "UTF-16", 1), binary.BigEndian)},
		"CDATA":                   {"dbconfig.xml", strings.NewReplacer("<password>", "<password><![CDATA[", "</password>", "]]></password>").Replace(text)},
		"another name":            {"dbconfig.xml.bak", text},
		"no extension, with mark": {"config", utf16Text(strings.Replace(text, "UTF-8", "UTF-16", 1), binary.LittleEndian)},
		"a DOCTYPE that says no more than the name": {"dbconfig.xml", strings.Replace(text, "\n\n", "\n<!DOCTYPE jira-database-config>\n", 1)},
	} {
		got := readConfig(t, other.file, other.text)
		require.Equal(t, want.Product, got.Product, name)
		require.Equal(t, settingsOf(want), settingsOf(got), name)
	}
	require.Equal(t, secretref.Bitbucket, readConfig(t, "my.conf", "x=1\njdbc.url=x\n").Product)
	require.Equal(t, secretref.Bitbucket, readConfig(t, "my.conf", "encrypted-property.cipher.classname=x").Product)
	require.Equal(t, secretref.Bitbucket, readConfig(t, "bitbucket.properties", "").Product, "the name is enough")
}

// utf16Text encodes s with a byte order mark.
func utf16Text(s string, order binary.AppendByteOrder) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune("\ufeff" + s)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

func TestAFileIsFoundWhereTheProductKeepsIt(t *testing.T) {
	text := map[string]string{
		"dbconfig.xml":         "<jira-database-config/>",
		"confluence.cfg.xml":   "<confluence-configuration/>",
		"bitbucket.properties": "jdbc.url=x",
		"bamboo.cfg.xml":       "<application-configuration/>",
		"crowd.cfg.xml":        "<application-configuration/>",
	}
	for name, row := range map[string]struct {
		files []string // the first is the one that is found
		want  secretref.Product
	}{
		"Jira's home":                             {[]string{"dbconfig.xml"}, secretref.Jira},
		"Confluence's home":                       {[]string{"confluence.cfg.xml", "shared-home/confluence.cfg.xml"}, secretref.Confluence},
		"Confluence's shared home":                {[]string{"confluence.cfg.xml"}, secretref.Confluence},
		"above Confluence's shared home":          {[]string{"shared-home/confluence.cfg.xml"}, secretref.Confluence},
		"Bitbucket's home":                        {[]string{"shared/bitbucket.properties", "bitbucket.properties"}, secretref.Bitbucket},
		"Bitbucket's shared home":                 {[]string{"bitbucket.properties"}, secretref.Bitbucket},
		"Bamboo's home":                           {[]string{"bamboo.cfg.xml", "shared/bamboo.cfg.xml"}, secretref.Bamboo},
		"Crowd's home":                            {[]string{"shared/crowd.cfg.xml", "crowd.cfg.xml"}, secretref.Crowd},
		"Crowd's shared home, and an older home":  {[]string{"crowd.cfg.xml"}, secretref.Crowd},
		"Jira's and Confluence's":                 {[]string{"dbconfig.xml", "confluence.cfg.xml"}, ""},
		"Bamboo's and Crowd's, in different ways": {[]string{"bamboo.cfg.xml", "shared/crowd.cfg.xml"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			for _, file := range row.files {
				path := filepath.Join(home, filepath.FromSlash(file))
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
				require.NoError(t, os.WriteFile(path, []byte(text[filepath.Base(path)]), 0o600))
			}
			c, err := secretref.ReadConfig(home)
			if row.want == "" {
				require.ErrorIs(t, err, secretref.ErrUnsupported)
				for _, file := range row.files {
					require.ErrorContains(t, err, filepath.Join(home, filepath.FromSlash(file)), "both are named")
				}
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, c.Product)
			require.Equal(t, filepath.Join(home, filepath.FromSlash(row.files[0])), c.Path)
		})
	}
}

func TestBamboosAndCrowdsFilesAreToldApart(t *testing.T) {
	file := func(key string) string {
		return "<application-configuration><properties><property name=\"" + key + "\">x</property></properties></application-configuration>"
	}
	for name, row := range map[string]struct {
		file, text string
		want       secretref.Product
	}{
		"by the name":             {"crowd.cfg.xml", file("bamboo.x"), secretref.Crowd},
		"by the other name":       {"bamboo.cfg.xml", file("crowd.x"), secretref.Bamboo},
		"else by what is in it":   {"copy.xml", file("bamboo.jms.broker.uri"), secretref.Bamboo},
		"else by what is in it, ": {"crowd.cfg.xml.bak", file("crowd.server.id"), secretref.Crowd},
	} {
		require.Equal(t, row.want, readConfig(t, row.file, row.text).Product, name)
	}
}

func TestALinkedFileIsRead(t *testing.T) {
	target, home := write(t, "..data/dbconfig.xml", sample(t, "jira/dbconfig.xml")), t.TempDir()
	link := filepath.Join(home, "dbconfig.xml")
	if err := os.Symlink(target, link); err != nil {
		t.Skip(err)
	}
	for _, path := range []string{link, home} {
		c, err := secretref.ReadConfig(path)
		require.NoError(t, err)
		require.Equal(t, link, c.Path)
		require.Equal(t, secretref.Jira, c.Product)
	}
	require.NoError(t, os.Remove(target))
	_, err := secretref.ReadConfig(link)
	require.ErrorIs(t, err, secretref.ErrNotFound)
}

func TestWhatIsNoConfigurationFileIsRefused(t *testing.T) {
	const xxe = `<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>`
	laughs := `<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a0 "ha">`
	for i := range 30 {
		laughs += fmt.Sprintf(`<!ENTITY a%d "&a%d;&a%d;">`, i+1, i, i)
	}
	entity := func(prolog, name string) string {
		return prolog + "<jira-database-config><jdbc-datasource><password>&" + name + ";</password></jdbc-datasource></jira-database-config>"
	}
	for name, row := range map[string]struct {
		file, text string
		kind       error
		says       []string
	}{
		"external entity":           {"dbconfig.xml", entity(xxe, "x"), secretref.ErrUnsupported, []string{"line 1", "DOCTYPE"}},
		"external entity, not used": {"dbconfig.xml", entity(xxe, "amp"), secretref.ErrUnsupported, nil},
		"billion laughs":            {"dbconfig.xml", entity(laughs+"]>", "a30"), secretref.ErrUnsupported, nil},
		"external DTD":              {"dbconfig.xml", entity(`<!DOCTYPE r SYSTEM "http://127.0.0.1:1/x.dtd">`, "amp"), secretref.ErrUnsupported, nil},
		"public DTD":                {"dbconfig.xml", entity(`<!DOCTYPE r PUBLIC "x" "http://127.0.0.1:1/x.dtd">`, "amp"), secretref.ErrUnsupported, nil},
		"too large":                 {"bitbucket.properties", "jdbc.url=" + strings.Repeat("x", 5<<20), secretref.ErrUnsupported, []string{"4 MiB"}},
		"Bamboo's or Crowd's":       {"db.xml", "<application-configuration/>", secretref.ErrUnsupported, []string{"bamboo.cfg.xml or crowd.cfg.xml"}},
		"other XML":                 {"server.xml", "<Server/>", secretref.ErrUnsupported, []string{"root element"}},
		"other properties":          {"log4j.properties", "log4j.rootLogger=WARN", secretref.ErrUnsupported, []string{"bitbucket.properties"}},
		"empty, of no known name":   {"x", "", secretref.ErrUnsupported, nil},
		"empty XML":                 {"dbconfig.xml", "", secretref.ErrSyntax, []string{"root element"}},
		"not XML":                   {"dbconfig.xml", "jdbc.url=" + canary, secretref.ErrSyntax, []string{"line 1"}},
		"a bare ampersand":          {"dbconfig.xml", "\n" + jiraFile("a", "b") + "&" + canary, secretref.ErrSyntax, []string{"line 7"}},
		"a malformed escape":        {"bitbucket.properties", "a=b\nc=" + canary + `\u12g4`, secretref.ErrSyntax, []string{"line 2"}},
		"two data sources": {"dbconfig.xml", strings.Replace(jiraFile("url", "a"), "</jdbc-datasource>", "</jdbc-datasource>\n<jdbc-datasource><password>"+canary+
			"</password></jdbc-datasource>", 1), secretref.ErrSyntax, []string{"line 2", "line 5"}},
		"Jira's JNDI": {"dbconfig.xml", "<jira-database-config><jndi-datasource><jndi-name>java:x</jndi-name></jndi-datasource></jira-database-config>",
			secretref.ErrUnsupported, []string{"jndi-datasource", "application server"}},
		"Confluence's JNDI": {"confluence.cfg.xml", confluenceFile("hibernate.connection.datasource", "java:x"),
			secretref.ErrUnsupported, []string{"hibernate.connection.datasource", "application server"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, row.file, row.text)
			for _, from := range []string{path, filepath.Dir(path)} {
				c, err := secretref.ReadConfig(from)
				require.Nil(t, c)
				if from != path && errors.Is(err, secretref.ErrNotFound) {
					continue // not a name that is looked for
				}
				require.ErrorIs(t, err, row.kind)
				for _, part := range append(row.says, path) {
					require.ErrorContains(t, err, part)
				}
				require.NotContains(t, err.Error(), canary)
				requireSilent(t, err)
			}
		})
	}
}

func TestAPathWithoutOneFileIsRefused(t *testing.T) {
	both := filepath.Dir(write(t, "dbconfig.xml", jiraFile()))
	require.NoError(t, os.WriteFile(filepath.Join(both, "confluence.cfg.xml"), nil, 0o600))
	directory := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(directory, "dbconfig.xml"), 0o700))
	empty := t.TempDir()
	for name, row := range map[string]struct {
		path    string
		kind    error
		absent  bool
		mention []string
	}{
		"two products' files":        {both, secretref.ErrUnsupported, false, []string{filepath.Join(both, "dbconfig.xml"), filepath.Join(both, "confluence.cfg.xml")}},
		"a directory without a file": {empty, secretref.ErrNotFound, true, []string{empty, "dbconfig.xml", "confluence.cfg.xml", "bitbucket.properties"}},
		"a directory of the name":    {directory, secretref.ErrUnsupported, false, []string{filepath.Join(directory, "dbconfig.xml"), "directory"}},
		"the same, named":            {filepath.Join(directory, "dbconfig.xml"), secretref.ErrNotFound, true, nil},
		"a missing file":             {filepath.Join(empty, "dbconfig.xml"), secretref.ErrNotFound, true, []string{filepath.Join(empty, "dbconfig.xml")}},
		"no path":                    {"", secretref.ErrNotFound, true, nil},
	} {
		c, err := secretref.ReadConfig(row.path)
		require.Nil(t, c)
		require.ErrorIs(t, err, row.kind, name)
		require.Equal(t, row.absent, errors.Is(err, fs.ErrNotExist), name)
		for _, part := range row.mention {
			require.ErrorContains(t, err, part, name)
		}
	}
}

func TestAFileThatThisUserMayNotReadIsDenied(t *testing.T) {
	path := write(t, "dbconfig.xml", jiraFile())
	require.NoError(t, os.Chmod(path, 0))
	if f, err := os.Open(path); err == nil {
		f.Close()
		t.Skip("this user may read every file")
	}
	_, err := secretref.ReadConfig(path)
	require.ErrorIs(t, err, secretref.ErrDenied)
	require.ErrorIs(t, err, fs.ErrPermission)
}

// secretBehind is what every test below resolves to.
const secretBehind = "s3cret behind"

func configFake() *secretref.Fake {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"password":"`+secretBehind+`"}`)
	fake.Set(vaultRef, secretBehind)
	return fake
}

func TestAReferenceWithoutQuotesIsNoSecretInYAML(t *testing.T) {
	var s secretref.Secret
	err := s.UnmarshalYAML(func(any) error { return errors.New("cannot unmarshal " + canary) })
	require.ErrorIs(t, err, secretref.ErrSyntax)
	require.NotContains(t, err.Error(), canary)
	require.True(t, s.IsZero())

	text := func(v any) error { *v.(*string) = awsRef; return nil }
	var c struct{ Password secretref.Secret }
	require.NoError(t, c.Password.UnmarshalYAML(text))
	require.Panics(t, func() { c.Password.Reveal() }, "it waits for ResolveStruct")
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	require.NoError(t, r.ResolveStruct(t.Context(), &c))
	require.Equal(t, secretBehind, c.Password.Reveal())
}

// A library that decodes a scalar first and writes it as a text then (goccy/go-yaml)
// gives 007 as 7.
func TestAScalarInYAMLIsTheSecretAsItIsWritten(t *testing.T) {
	type node struct {
		value any    // what it decodes to
		text  string // as a string
		raw   string // as it is written
	}
	unmarshal := func(n node, knowsBytes bool) func(any) error {
		return func(v any) error {
			switch v := v.(type) {
			case *string:
				*v = n.text
			case *any:
				*v = n.value
			case interface{ UnmarshalYAML([]byte) error }:
				if knowsBytes {
					return v.UnmarshalYAML([]byte(n.raw))
				}
				reflect.ValueOf(v).Elem().SetString(n.text)
			}
			return nil
		}
	}
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake(), AllowEmpty: true})
	defer r.Close()
	for raw, n := range map[string]node{
		"123": {123, "123", "123\n"}, "'007'": {"007", "007", "'007'"}, "'-0'": {"-0", "-0", "'-0'"}, "true": {true, "true", "true"}, `""`: {"", "", `""`}, "pw": {"pw", "pw", "pw"},
	} {
		var c struct{ Password secretref.Secret }
		require.NoError(t, c.Password.UnmarshalYAML(unmarshal(n, true)), raw)
		require.NoError(t, r.ResolveStruct(t.Context(), &c), raw)
		require.Equal(t, n.text, c.Password.Reveal())
	}
	for raw, n := range map[string]node{
		"007": {7, "7", "007"}, "0x1F": {31, "31", "0x1F"}, "1_000": {1000, "1000", "1_000"}, "-0": {0, "0", "-0"}, "1.10": {1.1, "1.1", "1.10"}, "+5": {5, "5", "+5"},
		"True": {true, "true", "True"}, ".INF": {math.Inf(1), "+Inf", ".INF"}, "*alias": {7, "7", "*alias"},
	} {
		var s secretref.Secret
		require.ErrorIs(t, s.UnmarshalYAML(unmarshal(n, true)), secretref.ErrSyntax, raw)
		require.True(t, s.IsZero())
	}
	var c struct{ Password secretref.Secret }
	require.NoError(t, c.Password.UnmarshalYAML(unmarshal(node{7, "007", "007"}, false)), "a library that gives the text as it is written")
	require.NoError(t, r.ResolveStruct(t.Context(), &c))
	require.Equal(t, "007", c.Password.Reveal())

	c.Password = secretref.Secret{}
	require.NoError(t, c.Password.UnmarshalYAML(unmarshal(node{nil, "", "*null"}, true)))
	require.ErrorIs(t, r.ResolveStruct(t.Context(), &c), secretref.ErrNotReference, "an alias of null sets nothing")
}

// asksToWait is an error of a Provider.
type asksToWait time.Duration

func (e asksToWait) Error() string             { return "busy" }
func (e asksToWait) Unwrap() error             { return secretref.ErrUnavailable }
func (e asksToWait) RetryAfter() time.Duration { return time.Duration(e) }

func TestAProviderSaysWhenToTryAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := secretref.New(&secretref.Options{Providers: store(func(context.Context, []byte) ([]byte, error) {
			if calls++; calls < 3 {
				return nil, fmt.Errorf("at the moment: %w", asksToWait(7*time.Second))
			}
			return []byte("x"), nil
		})})
		defer r.Close()
		start := time.Now()
		s, err := r.Resolve(t.Context(), `{"storeId":"x"}`)
		require.NoError(t, err)
		require.Equal(t, "x", s.Reveal())
		require.Equal(t, 14*time.Second, time.Since(start))
	})
}

func TestAConfigWithAProductsOwnCipherNeedsNoBackend(t *testing.T) {
	fake := secretref.NewFake()
	r := secretref.New(&secretref.Options{Fake: fake, Strict: true})
	defer r.Close()
	testdata, err := filepath.Abs("testdata")
	require.NoError(t, err)
	t.Chdir(t.TempDir()) // relative paths start at the file
	for home, want := range map[string]string{"bamboo": "bamboo's own", "crowd": "päßwörd-密码"} {
		c, err := secretref.ReadConfig(filepath.Join(testdata, home))
		require.NoError(t, err)
		h, err := r.WatchConfig(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, want, h.Value().Database.Password.Reveal())
		_, err = h.Refresh(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, h.Value().Database.Password.Reveal())
	}
	require.Zero(t, fake.Calls())
}

func TestAPasswordThatIsSealedAnewIsSeen(t *testing.T) {
	dir := t.TempDir()
	vector := func(name string) {
		for kind, file := range map[string]string{"SealedObject": "object", "SecretKeySpec": "key"} {
			text, err := os.ReadFile(filepath.Join("testdata/vectors/sealed", name+"."+kind))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, file), text, 0o600))
		}
	}
	vector("00-AES-128-ascii")
	path := filepath.Join(dir, "crowd.cfg.xml")
	text := strings.Replace(confluenceFile("jdbc.password.decrypter.classname", crowdsCipher,
		"hibernate.connection.password", `{"sealedObjectFilePath":"object","keyFilePath":"key"}`), "confluence-configuration", "application-configuration", 2)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	c, err := secretref.ReadConfig(dir)
	require.NoError(t, err)
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	h, err := r.WatchConfig(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, "secret", h.Value().Database.Password.Reveal())

	vector("10-AES-128-len16")
	_, err = h.Refresh(t.Context())
	require.NoError(t, err)
	require.Equal(t, "0123456789abcdef", h.Value().Database.Password.Reveal())

	require.NoError(t, os.Remove(filepath.Join(dir, "key")))
	_, err = h.Refresh(t.Context())
	require.ErrorIs(t, err, secretref.ErrNotFound)
	_, err = h.Status()
	require.ErrorIs(t, err, secretref.ErrNotFound)
	require.Equal(t, "0123456789abcdef", h.Value().Database.Password.Reveal(), "the last good one stays")
}

func TestPathsThatAValueLeavesOutComeFromTheEnvironment(t *testing.T) {
	dir, err := filepath.Abs("testdata/vectors/sealed")
	require.NoError(t, err)
	const prefix = "com_atlassian_db_config_password_ciphers_algorithm_javax_crypto_"
	t.Setenv(prefix+"SealedObject", filepath.Join(dir, "00-AES-128-ascii.SealedObject"))
	t.Setenv(prefix+"spec_SecretKeySpec", filepath.Join(dir, "00-AES-128-ascii.SecretKeySpec"))
	c := readConfig(t, "confluence.cfg.xml", confluenceFile("jdbc.password.decrypter.classname", algorithmClass, "hibernate.connection.password", "{}"))

	r := secretref.New(nil)
	defer r.Close()
	got, err := r.ResolveConfig(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, "secret", got.Database.Password.Reveal())

	faked := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer faked.Close()
	_, err = faked.ResolveConfig(t.Context(), c)
	require.ErrorIs(t, err, secretref.ErrSyntax, "a Fake has no environment")
	require.ErrorContains(t, err, prefix+"SealedObject")
}

func TestAnEmptyPasswordInBase64IsNoticed(t *testing.T) {
	c := readConfig(t, "dbconfig.xml", jiraFile("password", "", "atlassian-password-cipher-provider", base64Class))
	var log bytes.Buffer
	for strict, kind := range map[bool]error{false: nil, true: secretref.ErrNotReference} {
		r := secretref.New(&secretref.Options{Fake: secretref.NewFake(), Strict: strict, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		defer r.Close()
		_, err := r.ResolveConfig(t.Context(), c)
		require.ErrorIs(t, err, kind)
	}
	require.Contains(t, log.String(), "is empty")
}

func TestADatabaseIsOpenedByADataSourceThatIsASecret(t *testing.T) {
	db := secretref.Database{Driver: "org.postgresql.Driver", URL: secretref.NewSecret("jdbc:postgresql://db:5433/jira"), Username: "app", Schema: "public", Password: secretref.NewSecret(canary)}
	source, err := db.DataSource()
	require.NoError(t, err)
	require.Equal(t, "pgx", source.Driver)
	for _, part := range []string{"db", "5433", "jira", "app", canary} {
		require.Contains(t, source.Name.Reveal(), part)
	}
	require.Empty(t, source.Ignored)
	requireSilent(t, source.Name)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", source, source, source), canary)

	db.URL = secretref.NewSecret(db.URL.Reveal() + "?reWriteBatchedInserts=true")
	tuned, err := db.DataSource()
	require.NoError(t, err, "an option that only tunes the JDBC driver is no reason not to connect")
	require.Equal(t, []string{"reWriteBatchedInserts"}, tuned.Ignored)
	require.True(t, source.Name.Equal(tuned.Name))

	for url, kind := range map[string]error{
		"jdbc:oracle:thin:@//db:1521/jira":                           secretref.ErrUnsupported,
		"jdbc:h2:/var/jira/h2db":                                     secretref.ErrUnsupported,
		"jdbc:postgresql://db/jira?socketFactory=com.example.Tunnel": secretref.ErrUnsupported,
		"jdbc:postgresql://db/jira?password=another-" + canary:       secretref.ErrSyntax,
		"postgresql://db/jira":                                       secretref.ErrSyntax,
		"":                                                           secretref.ErrSyntax,
	} {
		source, err := secretref.Database{URL: secretref.NewSecret(url), Username: "app", Password: secretref.NewSecret(canary)}.DataSource()
		require.ErrorIs(t, err, kind, url)
		require.Zero(t, source, url)
		require.NotContains(t, err.Error(), canary)
	}
}

func TestHibernatesFurtherPropertiesAreOptionsOfItsDatabase(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	open := func(properties ...string) (string, error) {
		c := readConfig(t, "confluence.cfg.xml", confluenceFile(append([]string{"hibernate.connection.url", "jdbc:postgresql://db/confluence",
			"hibernate.connection.driver_class", "org.postgresql.Driver", "hibernate.connection.username", "app", "hibernate.connection.password", "x",
			"hibernate.connection.isolation", "2", "hibernate.connection.autocommit", "false"}, properties...)...))
		settings, err := r.ResolveConfig(t.Context(), c)
		require.NoError(t, err)
		source, err := settings.Database.DataSource()
		return source.Name.Reveal(), err
	}
	plain, err := open()
	require.NoError(t, err)
	strict, err := open("hibernate.connection.sslmode", "verify-full", "hibernate.connection.sslrootcert", "/etc/ca.pem")
	require.NoError(t, err)
	require.NotEqual(t, plain, strict)
	require.Contains(t, strict, "sslmode=verify-full")
	_, err = open("hibernate.connection.socketFactory", "com.example.Tunnel")
	require.ErrorIs(t, err, secretref.ErrUnsupported)
	require.ErrorContains(t, err, "socketFactory")
}

func TestTwoDatabasesInOneFileAreRefused(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	for _, key := range []string{"url", "username", "driver-class"} {
		c := readConfig(t, "dbconfig.xml", jiraFile("password", "x", key, "one", key, "two"))
		_, err := r.ResolveConfig(t.Context(), c)
		require.ErrorIs(t, err, secretref.ErrSyntax, key)
		require.ErrorContains(t, err, key)
	}
	c := readConfig(t, "dbconfig.xml", jiraFile("password", "x", "url", "jdbc:postgresql://db/x", "url", "jdbc:postgresql://db/x"))
	_, err := r.ResolveConfig(t.Context(), c)
	require.NoError(t, err, "the same twice")
}

func TestATaggedStringIsResolvedOnce(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"keyring":"outer"}`, `{"keyring":"inner"}`)
	fake.Set(`{"keyring":"inner"}`, "never asked for")
	fake.Set(`{"keyring":"odd"}`, "{ENC}what a password")
	type part struct {
		Text  string            `secretref:"resolve"`
		Texts map[string]string `secretref:"resolve"`
		Parts map[string]part2
	}
	for _, strict := range []bool{false, true} {
		r := secretref.New(&secretref.Options{Fake: fake, Strict: strict})
		defer r.Close()
		c := &part{Text: `{"keyring":"outer"}`, Texts: map[string]string{"a": `{"keyring":"odd"}`}, Parts: map[string]part2{"b": {Text: `{"keyring":"outer"}`}}}
		for range 3 {
			require.NoError(t, r.ResolveStruct(t.Context(), c))
			require.Equal(t, &part{Text: `{"keyring":"inner"}`, Texts: map[string]string{"a": "{ENC}what a password"},
				Parts: map[string]part2{"b": {Text: `{"keyring":"inner"}`}}}, c)
		}
		c.Text = `{"keyring":"odd"}`
		require.NoError(t, r.ResolveStruct(t.Context(), c))
		require.Equal(t, "{ENC}what a password", c.Text, "what was set anew is resolved")
	}
}

type part2 struct {
	Text string `secretref:"resolve"`
}

func TestAListWithoutEndIsNoConfiguration(t *testing.T) {
	type node struct {
		Password secretref.Secret
		Next     *node
	}
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	var list *node
	for range 20_000 {
		list = &node{Next: list}
	}
	require.ErrorIs(t, r.ResolveStruct(t.Context(), list), secretref.ErrUnsupported)
}

func TestJirasConnectionPropertiesAreOptionsOfItsDatabase(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	open := func(url, properties string) (string, error) {
		c := readConfig(t, "dbconfig.xml", jiraFile("url", url, "username", "app", "password", "x", "connection-properties", properties))
		settings, err := r.ResolveConfig(t.Context(), c)
		require.NoError(t, err)
		source, err := settings.Database.DataSource()
		return source.Name.Reveal(), err
	}
	const url = "jdbc:postgresql://db/jira"
	plain, err := open(url, " tcpKeepAlive=true ; ")
	require.NoError(t, err)

	strict, err := open(url, "tcpKeepAlive=true;sslmode=verify-full; sslrootcert = /etc/ca.pem")
	require.NoError(t, err)
	same, err := open(url+"?sslmode=verify-full&sslrootcert=/etc/ca.pem", "")
	require.NoError(t, err)
	require.Equal(t, same, strict)
	require.NotEqual(t, plain, strict)

	tuned, err := open(url, "reWriteBatchedInserts=true")
	require.NoError(t, err)
	require.Equal(t, plain, tuned)
	none, err := open(url+"?sslmode=disable", "sslmode=verify-full")
	require.ErrorIs(t, err, secretref.ErrSyntax, "they contradict each other")
	require.Empty(t, none)
}

// inline returns a value of the Algorithm class whose sealed object stands in
// it, and whose key is that of another vector if one is given.
func inline(t *testing.T, vector string, key ...string) string {
	t.Helper()
	dir, err := filepath.Abs("testdata/vectors/sealed")
	require.NoError(t, err)
	object, err := os.ReadFile(filepath.Join(dir, vector+".SealedObject"))
	require.NoError(t, err)
	text, err := json.Marshal(map[string]string{
		"serializedSealedObject": base64.StdEncoding.EncodeToString(object),
		"keyFilePath":            filepath.Join(dir, append(key, vector)[0]+".SecretKeySpec"),
	})
	require.NoError(t, err)
	return string(text)
}

func TestTheClassDecidesHowAPasswordIsRead(t *testing.T) {
	aws, vault := strings.TrimPrefix(awsRef, "{ENC}"), strings.TrimPrefix(vaultRef, "{ENC}")
	const custom = "com.example.Store"
	sealed := inline(t, "00-AES-128-ascii")
	type row struct {
		class, value string
		want         string // or
		kind         error
		says         string
	}
	rows := map[string]row{
		"AWS":                          {class: awsClass, value: aws, want: secretBehind},
		"AWS with a prefix":            {class: awsClass, value: awsRef, want: secretBehind},
		"AWS, angle form":              {class: awsClass, value: `<ENC><"region":"eu-west-1","secretId":"db","secretPointer":"/password">`, want: secretBehind},
		"AWS in white space":           {class: "\n  " + awsClass + "\n  ", value: "\n    " + aws + "\n  ", want: secretBehind},
		"AWS in white space, prefixed": {class: awsClass, value: "\n    " + awsRef + "\n  ", want: secretBehind},
		"AWS without a password":       {class: awsClass, value: "", kind: secretref.ErrSyntax},
		"AWS with plaintext":           {class: awsClass, value: canary, kind: secretref.ErrSyntax},
		"AWS with prefixed plaintext":  {class: awsClass, value: "{ENC}" + canary, kind: secretref.ErrSyntax},
		"AWS with JSON plaintext":      {class: awsClass, value: `{"password":"` + canary + `"}`, kind: secretref.ErrSyntax},
		"AWS with Vault's coordinates": {class: awsClass, value: vault, kind: secretref.ErrSyntax, says: awsClass},
		"AWS with a keyring's":         {class: awsClass, value: `{"keyring":"x"}`, kind: secretref.ErrSyntax, says: awsClass},
		"AWS with a Provider's":        {class: awsClass, value: `{"storeId":"x"}`, kind: secretref.ErrSyntax, says: awsClass},
		"AWS with the placeholder":     {class: awsClass, value: "{ATL_SECURED}", kind: secretref.ErrUnsupported, says: "internal store"},

		"Vault":                       {class: vaultClass, value: vault, want: secretBehind},
		"Vault with a prefix":         {class: vaultClass, value: vaultRef, want: secretBehind},
		"Vault in white space":        {class: " " + vaultClass, value: "\t" + vault + " ", want: secretBehind},
		"Vault with plaintext":        {class: vaultClass, value: canary, kind: secretref.ErrSyntax},
		"Vault with AWS' coordinates": {class: vaultClass, value: aws, kind: secretref.ErrSyntax, says: vaultClass},
		"Vault with the placeholder":  {class: vaultClass, value: " {ATL_SECURED} ", kind: secretref.ErrUnsupported, says: "internal store"},

		"Base64":                           {class: base64Class, value: "c2VjcmV0", want: "secret"},
		"Base64, older, in white space":    {class: oldBase64, value: "\n\tc2VjcmV0\n", want: "secret"},
		"Base64 of text":                   {class: base64Class, value: "w6nwn5iA", want: "é😀"},
		"Base64 of no text":                {class: base64Class, value: "/w==", kind: secretref.ErrSyntax},
		"Base64 of nothing":                {class: base64Class, value: "", want: ""},
		"Base64 with plaintext":            {class: base64Class, value: canary, kind: secretref.ErrSyntax},
		"Base64 with coordinates":          {class: base64Class, value: aws, kind: secretref.ErrSyntax},
		"Base64 with the placeholder":      {class: base64Class, value: "{ATL_SECURED}", kind: secretref.ErrUnsupported, says: "internal store"},
		"Algorithm, inline":                {class: algorithmClass, value: sealed, want: "secret"},
		"Algorithm, older":                 {class: oldAlgorithm, value: " " + sealed + "\n", want: "secret"},
		"Algorithm, Crowd's":               {class: crowdsCipher, value: sealed, want: "secret"},
		"Algorithm, Crowd's with DES":      {class: crowdsCipher, value: inline(t, "20-DES-56-ascii"), kind: secretref.ErrUnsupported, says: "AES"},
		"Algorithm with plaintext":         {class: algorithmClass, value: canary, kind: secretref.ErrSyntax},
		"Algorithm with AWS' coordinates":  {class: algorithmClass, value: aws, kind: secretref.ErrSyntax},
		"Algorithm, no such file":          {class: algorithmClass, value: `{"sealedObjectFilePath":"a","keyFilePath":"b"}`, kind: secretref.ErrNotFound},
		"Algorithm, the wrong key":         {class: algorithmClass, value: inline(t, "00-AES-128-ascii", "02-AES-128-unicode"), kind: secretref.ErrCorrupt},
		"unknown":                          {class: "com.example.Other", value: canary, kind: secretref.ErrUnsupported, says: "com.example.Other"},
		"unknown by letter case":           {class: strings.ToLower(awsClass), value: aws, kind: secretref.ErrUnsupported, says: strings.ToLower(awsClass)},
		"unknown with the placeholder":     {class: "com.example.Other", value: "{ATL_SECURED}", kind: secretref.ErrUnsupported, says: "internal store"},
		"a Provider's":                     {class: custom, value: " opaque {\"a\"} \n", want: "got [ opaque {\"a\"} \n]"},
		"a Provider's with a prefix":       {class: custom, value: "{ENC}opaque", want: "got [{ENC}opaque]"},
		"a Provider's with coordinates":    {class: custom, value: aws, want: "got [" + aws + "]"},
		"a Provider's with nothing":        {class: custom, value: "", want: "got []"},
		"a Provider's and the placeholder": {class: custom, value: "{ATL_SECURED}", kind: secretref.ErrUnsupported, says: "internal store"},

		"none, AWS":                 {value: aws, want: secretBehind},
		"none, Vault":               {value: vaultRef, want: secretBehind},
		"none, a Provider's":        {value: `{"storeId":"x"}`, want: `got [{"storeId":"x"}]`},
		"none, plaintext":           {value: "hunter2", want: "hunter2"},
		"none, in white space":      {value: " hunter2\n", want: " hunter2\n"},
		"none, white space":         {value: "  ", want: "  "},
		"none, a brace":             {value: `{x9!`, want: `{x9!`},
		"none, another's JSON":      {value: `{"a":1}`, want: `{"a":1}`},
		"none, broken":              {value: `{"region":"` + canary + `"`, kind: secretref.ErrSyntax},
		"none, misspelt":            {value: `{"Region":"` + canary + `","secretID":"db"}`, kind: secretref.ErrSyntax},
		"none, prefixed":            {value: "{ENC}" + canary, kind: secretref.ErrSyntax},
		"none, prefix misspelt":     {value: "{enc}" + canary, kind: secretref.ErrSyntax},
		"none, the placeholder":     {value: "{ATL_SECURED}", kind: secretref.ErrUnsupported, says: "internal store"},
		"blank, so none":            {class: " \n", value: "hunter2", want: "hunter2"},
		"none, a sealed object":     {value: sealed, kind: secretref.ErrSyntax, says: "AlgorithmSecretStore"},
		"none, misspelt and sealed": {value: `{"SealedObjectFilepath":"` + canary + `","keyFilePath":"x"}`, kind: secretref.ErrSyntax},
		"none, sealed and prefixed": {value: "{ENC}" + sealed, kind: secretref.ErrSyntax, says: "AlgorithmSecretStore"},
		"none, serialized":          {value: "rO0ABXNyABlqYXZheC5jcnlwdG8", kind: secretref.ErrSyntax, says: "AlgorithmSecretStore"},
		"none, half a prefix":       {value: "ENC}" + canary, kind: secretref.ErrSyntax},
		"none, prefix and colon":    {value: "{ENC:" + canary, kind: secretref.ErrSyntax},
		"none, another tool's":      {value: "op://vault/item/" + canary, kind: secretref.ErrUnsupported},
		"none, found nowhere":       {value: `{"region":"eu-west-1","secretId":"other"}`, kind: secretref.ErrNotFound},
		"AWS, pointing elsewhere":   {class: awsClass, value: `{"region":"eu-west-1","secretId":"db","secretPointer":"/passwort"}`, kind: secretref.ErrPointer},
	}
	r := secretref.New(&secretref.Options{Fake: configFake(), Providers: store(func(_ context.Context, coordinates []byte) ([]byte, error) {
		return fmt.Appendf(nil, "got [%s]", coordinates), nil
	})})
	defer r.Close()
	check := func(t *testing.T, file, text, key, place string, row row) {
		t.Helper()
		c := readConfig(t, file, text)
		got, err := r.ResolveConfig(t.Context(), c)
		require.NotNil(t, got)
		if row.kind == nil {
			require.NoError(t, err)
			require.Equal(t, row.want, got.Database.Password.Reveal())
			require.Equal(t, map[string]string{key: row.want}, revealMap(got.Secrets))
			return
		}
		require.ErrorIs(t, err, row.kind)
		require.ErrorContains(t, err, row.says)
		require.NotContains(t, err.Error(), canary)
		require.Empty(t, got.Secrets)
		require.True(t, got.Database.Password.IsZero())
		var located *secretref.Error
		require.ErrorAs(t, err, &located)
		require.Equal(t, place, located.Source)
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			class := "atlassian-password-cipher-provider"
			before := strings.Count(row.class, "\n") // lines that the class adds
			if row.class == "" {
				check(t, "dbconfig.xml", jiraFile("password", row.value), jiraPassword, "dbconfig.xml:3: "+jiraPassword, row)
				check(t, "confluence.cfg.xml", confluenceFile("hibernate.connection.password", row.value), "hibernate.connection.password",
					"confluence.cfg.xml:3: hibernate.connection.password", row)
				return
			}
			check(t, "dbconfig.xml", jiraFile(class, row.class, "password", row.value), jiraPassword,
				fmt.Sprintf("dbconfig.xml:%d: %s", 4+before, jiraPassword), row)
			check(t, "dbconfig.xml", jiraFile("password", row.value, class, row.class), jiraPassword, "dbconfig.xml:3: "+jiraPassword, row)
			check(t, "confluence.cfg.xml", confluenceFile("hibernate.connection.password", row.value, "jdbc.password.decrypter.classname", row.class),
				"hibernate.connection.password", "confluence.cfg.xml:3: hibernate.connection.password", row)
			check(t, "confluence.cfg.xml", confluenceFile("jdbc.password.decrypter.classname", row.class, "hibernate.connection.password", row.value),
				"hibernate.connection.password", fmt.Sprintf("confluence.cfg.xml:%d: hibernate.connection.password", 4+before), row)
		})
	}
}

func TestAnEmptyPasswordIsEmptyWithAWarningAndStrictRefusesIt(t *testing.T) {
	for _, file := range []struct{ name, text, place string }{
		{"dbconfig.xml", jiraFile("password", ""), "dbconfig.xml:3: " + jiraPassword},
		{"confluence.cfg.xml", confluenceFile("hibernate.connection.password", ""), "confluence.cfg.xml:3: hibernate.connection.password"},
		{"bitbucket.properties", "\njdbc.password=\n", "bitbucket.properties:2: jdbc.password"},
	} {
		c := readConfig(t, file.name, file.text)
		var log bytes.Buffer
		r := secretref.New(&secretref.Options{Fake: secretref.NewFake(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		defer r.Close()
		got, err := r.ResolveConfig(t.Context(), c)
		require.NoError(t, err)
		require.True(t, got.Database.Password.IsZero())
		require.Len(t, got.Secrets, 1)
		require.Contains(t, log.String(), "level=WARN")
		require.Contains(t, log.String(), file.place)

		strict := secretref.New(&secretref.Options{Fake: secretref.NewFake(), Strict: true})
		defer strict.Close()
		got, err = strict.ResolveConfig(t.Context(), c)
		require.ErrorIs(t, err, secretref.ErrNotReference)
		require.ErrorContains(t, err, file.place)
		require.Empty(t, got.Secrets)
	}
}

func TestStrictRefusesAPlaintextPasswordInAFile(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake(), Strict: true})
	defer r.Close()
	for file, text := range map[string]string{
		"dbconfig.xml":         jiraFile("password", canary),
		"confluence.cfg.xml":   confluenceFile("hibernate.connection.password", canary),
		"bitbucket.properties": "jdbc.password=" + canary,
	} {
		got, err := r.ResolveConfig(t.Context(), readConfig(t, file, text))
		require.ErrorIs(t, err, secretref.ErrNotReference)
		require.NotContains(t, err.Error(), canary)
		require.Empty(t, got.Secrets)
		require.True(t, got.Database.Password.IsZero())
	}
}

func TestAClassWithoutAPasswordIsAMistake(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	for file, row := range map[string]struct{ text, says string }{
		"dbconfig.xml":         {jiraFile("atlassian-password-cipher-provider", awsClass, "PASSWORD", canary), "line 3"},
		"confluence.cfg.xml":   {confluenceFile("jdbc.password.decrypter.classname", vaultClass, " hibernate.connection.password ", canary), "line 3"},
		"bitbucket.properties": {"jdbc.password.decrypter.classname=" + awsClass + "\njdbc.passwort=" + canary, "line 1"},
	} {
		got, err := r.ResolveConfig(t.Context(), readConfig(t, file, row.text))
		require.ErrorIs(t, err, secretref.ErrSyntax)
		require.ErrorContains(t, err, file)
		require.ErrorContains(t, err, row.says)
		require.NotContains(t, err.Error(), canary)
		require.Empty(t, got.Secrets)
	}
}

func TestAFileWithoutAPasswordHasNoSecrets(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	for file, text := range map[string]string{
		"dbconfig.xml":         jiraFile("username", "sa"),
		"confluence.cfg.xml":   confluenceFile("hibernate.connection.username", "sa"),
		"bitbucket.properties": "jdbc.user=sa",
	} {
		got, err := r.ResolveConfig(t.Context(), readConfig(t, file, text))
		require.NoError(t, err)
		require.Equal(t, "sa", got.Database.Username)
		require.Empty(t, got.Secrets)
		require.True(t, got.Database.Password.IsZero())
	}
}

func TestTwoDifferentPasswordsOrClassesInAnXMLFileAreRefused(t *testing.T) {
	const name, class, property = "atlassian-password-cipher-provider", "jdbc.password.decrypter.classname", "hibernate.connection.password"
	fake := configFake()
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	for _, row := range []struct{ file, text string }{
		{"dbconfig.xml", jiraFile("password", awsRef, "password", canary)},
		{"dbconfig.xml", jiraFile("password", awsRef, name, awsClass, name, vaultClass)},
		{"confluence.cfg.xml", confluenceFile(property, awsRef, property, canary)},
		{"confluence.cfg.xml", confluenceFile(property, awsRef, class, awsClass, class, vaultClass)},
	} {
		got, err := r.ResolveConfig(t.Context(), readConfig(t, row.file, row.text))
		require.ErrorIs(t, err, secretref.ErrSyntax)
		require.ErrorContains(t, err, row.file)
		require.ErrorContains(t, err, "line")
		require.NotContains(t, err.Error(), canary)
		require.Empty(t, got.Secrets)
	}
	require.Zero(t, fake.Calls())

	got, err := r.ResolveConfig(t.Context(), readConfig(t, "dbconfig.xml", jiraFile("password", awsRef, "password", awsRef)))
	require.NoError(t, err, "the same twice says nothing else")
	require.Equal(t, secretBehind, got.Database.Password.Reveal())
}

func TestInBitbucketEveryMarkedValueIsResolvedAndNoOther(t *testing.T) {
	const aws = `{"region":"eu-west-1","secretId":"db","secretPointer":"/password"}`
	for name, row := range map[string]struct {
		lines []string
		want  map[string]string
	}{
		"with the class": {[]string{
			"encrypted-property.cipher.classname=" + awsClass,
			"jdbc.password={ENC}" + aws,
			"plugin.x.password=<ENC>" + aws,
			"plugin.y.json=" + aws,
			"plugin.z={ATL_SECURED}",
			"plugin.text=see {ENC}" + aws,
			"plugin.plain=hunter2",
			"plugin.empty=",
		}, map[string]string{"jdbc.password": secretBehind, "plugin.x.password": secretBehind}},
		"the class comes last": {[]string{"jdbc.password={ENC}" + aws, "encrypted-property.cipher.classname=" + awsClass},
			map[string]string{"jdbc.password": secretBehind}},
		"without a class, both backends": {[]string{"jdbc.password={ENC}" + aws, "plugin.x.password=" + vaultRef},
			map[string]string{"jdbc.password": secretBehind, "plugin.x.password": secretBehind}},
		"the prefix is lost":           {[]string{"jdbc.password=" + aws}, map[string]string{"jdbc.password": secretBehind}},
		"the older class, raw":         {[]string{"jdbc.password.decrypter.classname=" + awsClass, "jdbc.password=" + aws}, map[string]string{"jdbc.password": secretBehind}},
		"escaped as Java does":         {[]string{`jdbc.password={ENC}{\"region\"\:"eu-west-1",\`, `   "secretId":"db","secretPointer"\="/password"}`}, nil},
		"continued on the next line":   {[]string{`jdbc.password={ENC}{"region":"eu-west-1",\`, `   "secretId"\:"db","secretPointer":"/password"}`}, map[string]string{"jdbc.password": secretBehind}},
		"only the last of a key":       {[]string{"jdbc.password={ENC}" + canary, "jdbc.password={ENC}" + aws}, map[string]string{"jdbc.password": secretBehind}},
		"a plaintext password":         {[]string{"jdbc.password= hunter2 ", "encrypted-property.cipher.classname=" + awsClass}, map[string]string{"jdbc.password": "hunter2 "}},
		"no password at all":           {[]string{"jdbc.user=sa"}, map[string]string{}},
		"white space after the object": {[]string{"jdbc.password={ENC}" + aws + "  "}, map[string]string{"jdbc.password": secretBehind}},
	} {
		t.Run(name, func(t *testing.T) {
			r := secretref.New(&secretref.Options{Fake: configFake()})
			defer r.Close()
			got, err := r.ResolveConfig(t.Context(), readConfig(t, "bitbucket.properties", strings.Join(row.lines, "\n")))
			if row.want == nil {
				require.ErrorIs(t, err, secretref.ErrSyntax)
				require.Empty(t, got.Secrets)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, revealMap(got.Secrets))
			require.Equal(t, row.want["jdbc.password"], got.Database.Password.Reveal())
		})
	}
}

func TestBitbucketsClassesAreKeptApart(t *testing.T) {
	for name, row := range map[string]struct {
		lines []string
		kind  error
		at    string
	}{
		"marked plaintext with a class":    {[]string{"encrypted-property.cipher.classname=" + awsClass, "x={ENC}" + canary}, secretref.ErrSyntax, "2: x"},
		"marked plaintext without a class": {[]string{"x={ENC}" + canary}, secretref.ErrSyntax, "1: x"},
		"a misspelt mark":                  {[]string{"x={enc}" + canary}, secretref.ErrSyntax, "1: x"},
		"a misspelt mark with a class":     {[]string{"encrypted-property.cipher.classname=com.example.Store", "x={enc}" + canary}, secretref.ErrSyntax, "2: x"},
		"the other backend":                {[]string{"encrypted-property.cipher.classname=" + awsClass, "x=" + vaultRef}, secretref.ErrSyntax, "2: x"},
		"marked, the class not known":      {[]string{"encrypted-property.cipher.classname=com.example.Other", "x={ENC}" + canary}, secretref.ErrUnsupported, "2: x"},
		"marked placeholder":               {[]string{"x={ENC}{ATL_SECURED}"}, secretref.ErrUnsupported, "1: x"},
		"placeholder for the password":     {[]string{"jdbc.password={ATL_SECURED}"}, secretref.ErrUnsupported, "1: jdbc.password"},
		"raw plaintext, the older class":   {[]string{"jdbc.password.decrypter.classname=" + awsClass, "jdbc.password=" + canary}, secretref.ErrSyntax, "2: jdbc.password"},
		"nothing, the older class":         {[]string{"jdbc.password.decrypter.classname=" + awsClass, "jdbc.password="}, secretref.ErrSyntax, "2: jdbc.password"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := configFake()
			r := secretref.New(&secretref.Options{Fake: fake, Providers: store(func(context.Context, []byte) ([]byte, error) {
				t.Error("the Provider was asked")
				return nil, nil
			})})
			defer r.Close()
			got, err := r.ResolveConfig(t.Context(), readConfig(t, "bitbucket.properties", strings.Join(row.lines, "\n")))
			require.ErrorIs(t, err, row.kind)
			require.ErrorContains(t, err, "bitbucket.properties:"+row.at+": ")
			require.NotContains(t, err.Error(), canary)
			require.Empty(t, got.Secrets)
			require.Zero(t, fake.Calls())
		})
	}
}

func TestAProvidersClassGetsAMarkedValueVerbatim(t *testing.T) {
	var given []string
	r := secretref.New(&secretref.Options{Providers: store(func(_ context.Context, coordinates []byte) ([]byte, error) {
		given = append(given, string(coordinates))
		return []byte("x"), nil
	})})
	defer r.Close()
	c := readConfig(t, "bitbucket.properties", "encrypted-property.cipher.classname=com.example.Store\njdbc.password={ENC} opaque \nhazelcast.group.password=plain\n")
	got, err := r.ResolveConfig(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, []string{" opaque "}, given)
	require.Equal(t, map[string]string{"jdbc.password": "x"}, revealMap(got.Secrets))
}

// The lines of this file are counted by the tests that use it.
const severalFailures = `# one comment
encrypted-property.cipher.classname=` + awsClass + `
a={ENC}{"region":"eu-west-1","secretId":"missing"}
good={ENC}{"region":"eu-west-1","secretId":"db","secretPointer":"/password"}

jdbc.password={ENC}{"region":"eu-west-1","secretId":"denied"}
z=plain
b={ENC}{"region":"eu-west-1","secretId":"db",\
  "secretPointer":"/passwort"}
`

func TestSeveralFailuresOfAFileComeTogetherInItsOrderBesideWhatResolved(t *testing.T) {
	fake := configFake()
	fake.Fail(`{"region":"eu-west-1","secretId":"denied"}`, secretref.ErrDenied)
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	got, err := r.ResolveConfig(t.Context(), readConfig(t, "bitbucket.properties", severalFailures))
	require.Equal(t, map[string]string{"good": secretBehind}, revealMap(got.Secrets))
	require.True(t, got.Database.Password.IsZero())
	require.Equal(t, 3, fake.Calls(), "one for each secret")
	for _, kind := range []error{secretref.ErrNotFound, secretref.ErrDenied, secretref.ErrPointer} {
		require.ErrorIs(t, err, kind)
	}
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 3)
	for i, want := range []string{
		`secretref: bitbucket.properties:3: a: {ENC}{"region":"eu-west-1","secretId":"missing"}: not found`,
		`secretref: bitbucket.properties:6: jdbc.password: {ENC}{"region":"eu-west-1","secretId":"denied"}: access denied`,
		`secretref: bitbucket.properties:8: b: {ENC}{"region":"eu-west-1","secretId":"db","secretPointer":"/passwort"}: pointer does not lead`,
	} {
		require.True(t, strings.HasPrefix(lines[i], want), lines[i])
	}
}

func TestNothingOfAFileIsFetchedWhenOneValueIsMalformed(t *testing.T) {
	fake := configFake()
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	text := severalFailures + `c={ENC}{"region":"` + canary + `"}` + "\n" + `d={ENC}{"secretID":"x"}`
	got, err := r.ResolveConfig(t.Context(), readConfig(t, "bitbucket.properties", text))
	require.Zero(t, fake.Calls())
	require.Empty(t, got.Secrets)
	require.ErrorIs(t, err, secretref.ErrSyntax)
	require.NotErrorIs(t, err, secretref.ErrNotFound)
	require.NotContains(t, err.Error(), canary)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], "bitbucket.properties:10: c: syntax error")
	require.Contains(t, lines[1], "bitbucket.properties:11: d: syntax error")
}

func TestAConfigMadeByHandIsResolvedOrRefusedTheSameWay(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	got, err := r.ResolveConfig(t.Context(), &secretref.ConfigFile{Product: secretref.Jira, Path: "x.xml", Entries: []secretref.Entry{{Key: jiraPassword, Value: secretref.NewSecret(awsRef)}}})
	require.NoError(t, err)
	require.Equal(t, secretBehind, got.Database.Password.Reveal())
	for _, c := range []*secretref.ConfigFile{
		{},
		{Product: "fisheye", Entries: []secretref.Entry{{Key: "hibernate.connection.password", Value: secretref.NewSecret(canary)}}},
		{Product: secretref.Jira, Entries: []secretref.Entry{{Key: "jndi-datasource"}}},
	} {
		got, err := r.ResolveConfig(t.Context(), c)
		require.ErrorIs(t, err, secretref.ErrUnsupported)
		require.NotNil(t, got)
		require.Empty(t, got.Secrets)
	}
}

// requireQuiet fails if v holds the canary as it is printed, logged or encoded
// in any shape that Go lets a type have a say in. Not among them are an
// unexported field that holds v itself, and the verbs that do not fit (%p, %w,
// and all but %v, %d and %x for an unexported pointer), which vet finds: for
// these fmt walks the strings of v on its own.
func requireQuiet(t *testing.T, v any) {
	t.Helper()
	pointer := reflect.New(reflect.TypeOf(v))
	pointer.Elem().Set(reflect.ValueOf(v))
	p := pointer.Interface()
	for _, format := range []string{"%v", "%+v", "%#v", "%d", "%x"} {
		require.NotContains(t, fmt.Sprintf(format, struct{ pointer any }{p}), canary, "unexported field with %s", format)
	}
	for shape, x := range map[string]any{
		"value": v, "pointer": p, "slice": []any{v, p}, "map": map[string]any{"k": v, "p": p}, "map key": map[any]int{p: 1},
		"exported field": struct{ Value, Pointer any }{v, p}, "pointer to a struct": &struct{ Value, Pointer any }{v, p},
		"typed": typed(v), "typed pointer": typed(p),
		"error": fmt.Errorf("wrapped: %v, %v", v, p), "joined": errors.Join(fmt.Errorf("%+v", v), fmt.Errorf("%#v", p)),
	} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsz" {
			for _, flag := range []string{"", "+", "#", "-", " ", "0", "20.3", "[1]"} {
				require.NotContains(t, fmt.Sprintf("%"+flag+string(verb), x), canary, "%s with %%%s%c", shape, flag, verb)
			}
		}
		require.NotContains(t, fmt.Sprint(x)+fmt.Sprintln(x), canary, shape)
		var log bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(handler).Error("m", "k", x, slog.Any("k", x), slog.Group("g", "k", x))
			slog.New(handler).With("k", x).WithGroup("g").Error("m", "k", x)
		}
		require.NotContains(t, log.String(), canary, shape)
		for name, encode := range map[string]func(any) ([]byte, error){"json": json.Marshal, "xml": xml.Marshal, "gob": encodeGob} {
			text, err := encode(x)
			require.NotContains(t, string(text), canary, "%s as %s", shape, name)
			if err != nil {
				require.NotContains(t, err.Error(), canary, "%s as %s", shape, name)
			}
		}
	}
}

func TestWhatIsResolvedPrintsNoSecretWhateverPrintsIt(t *testing.T) {
	database := secretref.Database{Driver: "d", URL: secretref.NewSecret("jdbc:postgresql://db/x"), Username: "u", Password: secretref.NewSecret(canary)}
	settings := secretref.Settings{Product: secretref.Jira, Database: database, Secrets: map[string]secretref.Secret{jiraPassword: secretref.NewSecret(canary)}}
	requireSilent(t, database)
	requireSilent(t, &database)
	requireSilent(t, settings)
	requireSilent(t, &settings)
}

func TestErrorsOfAFilePrintNoSecret(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: configFake(), Providers: store(func(context.Context, []byte) ([]byte, error) {
		return nil, errors.New("the store quotes " + canary)
	})})
	defer r.Close()
	for _, text := range []string{
		jiraFile("password", "{ENC}"+canary),
		jiraFile("password", `{"region":"`+canary+`"`),
		jiraFile("password", `{"region":"eu-west-1","secretId":"db","`+canary+`!":"x"}`),
		jiraFile("password", canary, "atlassian-password-cipher-provider", vaultClass),
		jiraFile("password", canary, "atlassian-password-cipher-provider", "com.example.Other"),
		jiraFile("password", canary, "atlassian-password-cipher-provider", "com.example.Store"),
		jiraFile("password", canary, "password", canary+"2"),
		jiraFile("password", `{"storeId":"`+canary+`"}`),
	} {
		_, err := r.ResolveConfig(t.Context(), readConfig(t, "dbconfig.xml", text))
		require.Error(t, err)
		requireQuiet(t, err)
		var located *secretref.Error
		require.ErrorAs(t, err, &located)
		requireQuiet(t, located)
	}
}

// unresolved returns a Secret as a decoder leaves it.
func unresolved(t *testing.T, text string) (s secretref.Secret) {
	t.Helper()
	require.NoError(t, s.UnmarshalText([]byte(text)))
	return s
}

type embedded struct {
	Embedded secretref.Secret
}

type nested struct {
	Password secretref.Secret
	Tagged   string `secretref:"resolve"`
}

func TestResolveStructFindsEverySecretAndEveryTaggedString(t *testing.T) {
	fake := configFake()
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	type named string
	one := func() secretref.Secret { return unresolved(t, awsRef) }
	pointed, text := one(), awsRef
	var c struct {
		embedded
		Plain    secretref.Secret
		Field    secretref.Secret
		Tagged   named             `secretref:"resolve"`
		Pointer  *string           `secretref:"resolve"`
		List     []string          `secretref:"resolve"`
		Table    map[string]string `secretref:"resolve"`
		Untagged string
		Nested   nested
		Behind   *nested
		Secret   *secretref.Secret
		Slice    []nested
		Array    [2]secretref.Secret
		Map      map[string]secretref.Secret
		Maps     map[string]map[int]nested
		Any      any
		hidden   secretref.Secret
		Nothing  *nested
	}
	c.Embedded, c.Plain, c.Field, c.hidden = one(), unresolved(t, "plain"), one(), one()
	c.Tagged, c.Pointer, c.List, c.Table = awsRef, &text, []string{"plain", awsRef}, map[string]string{"k": awsRef}
	c.Untagged = awsRef
	c.Nested, c.Behind, c.Secret = nested{one(), awsRef}, &nested{one(), awsRef}, &pointed
	c.Slice, c.Array = []nested{{secretref.NewSecret(awsRef), awsRef}, {one(), awsRef}}, [2]secretref.Secret{one(), one()}
	done, err := r.Resolve(t.Context(), awsRef)
	require.NoError(t, err)
	c.Map = map[string]secretref.Secret{"k": one(), "done": done}
	c.Maps = map[string]map[int]nested{"a": {1: {one(), awsRef}}}
	c.Any = &nested{one(), awsRef}

	require.NoError(t, r.ResolveStruct(t.Context(), &c))
	require.Equal(t, 1, fake.Calls(), "one secret is one fetch")
	require.Equal(t, "plain", c.Plain.Reveal())
	for name, s := range map[string]secretref.Secret{
		"embedded": c.Embedded, "field": c.Field, "nested": c.Nested.Password, "behind a pointer": c.Behind.Password, "pointed to": pointed,
		"in a slice": c.Slice[1].Password, "in an array": c.Array[1], "in a map": c.Map["k"], "in maps": c.Maps["a"][1].Password,
	} {
		require.Equal(t, secretBehind, s.Reveal(), name)
	}
	for name, s := range map[string]string{
		"field": string(c.Tagged), "pointed to": text, "in a slice": c.List[1], "in a map": c.Table["k"], "nested": c.Nested.Tagged,
		"behind a pointer": c.Behind.Tagged, "in a struct of a slice": c.Slice[1].Tagged, "in maps": c.Maps["a"][1].Tagged,
	} {
		require.Equal(t, secretBehind, s, name)
	}
	require.Equal(t, "plain", c.List[0])
	require.Equal(t, awsRef, c.Untagged)
	require.Equal(t, secretBehind, c.Map["done"].Reveal())
	require.Equal(t, secretBehind, c.Slice[0].Password.Reveal(), "made with NewSecret")
	require.Panics(t, func() { _ = c.hidden.Reveal() }, "left alone, so still unresolved")
	left := c.Any.(*nested)
	require.Panics(t, func() { _ = left.Password.Reveal() })
	require.Equal(t, awsRef, left.Tagged)
}

func TestResolveStructTwiceIsHarmlessForSecrets(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"keyring":"a"}`, `{"keyring":"b"}`) // a password that looks like a reference
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	c := struct{ S secretref.Secret }{unresolved(t, `{"keyring":"a"}`)}
	for range 2 {
		require.NoError(t, r.ResolveStruct(t.Context(), &c))
		require.Equal(t, `{"keyring":"b"}`, c.S.Reveal())
	}
	require.Equal(t, 1, fake.Calls())
	require.NoError(t, r.ResolveStruct(t.Context(), &c.S), "a Secret is a struct itself")
}

func TestResolveStructEndsOnCycles(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	type node struct {
		Next *node
		S    secretref.Secret
	}
	n := &node{S: unresolved(t, awsRef)}
	n.Next = &node{Next: n, S: unresolved(t, awsRef)}
	require.NoError(t, r.ResolveStruct(t.Context(), n))
	require.Equal(t, secretBehind, n.S.Reveal())
	require.Equal(t, secretBehind, n.Next.S.Reveal())
}

func TestResolveStructChangesAllOrNothing(t *testing.T) {
	fake := configFake()
	fake.Fail(vaultRef, secretref.ErrDenied)
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	type config struct {
		Good   secretref.Secret
		Text   string `secretref:"resolve"`
		Table  map[string]secretref.Secret
		Tagged map[string]string `secretref:"resolve"`
		DB     struct{ Password secretref.Secret }
		List   []nested
	}
	c := config{Good: unresolved(t, awsRef), Text: awsRef, Table: map[string]secretref.Secret{"k": unresolved(t, awsRef)},
		Tagged: map[string]string{"k": awsRef}, List: []nested{{Password: unresolved(t, `{"region":"eu-west-1","secretId":"missing"}`), Tagged: "plain"}}}
	c.DB.Password = unresolved(t, vaultRef)

	err := r.ResolveStruct(t.Context(), &c)
	require.ErrorIs(t, err, secretref.ErrDenied)
	require.ErrorIs(t, err, secretref.ErrNotFound)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], "secretref: DB.Password: "+vaultRef)
	require.Contains(t, lines[1], "secretref: List[0].Password: ")
	require.Panics(t, func() { _ = c.Good.Reveal() })
	require.Equal(t, awsRef, c.Text)
	inTable := c.Table["k"]
	require.Panics(t, func() { _ = inTable.Reveal() })
	require.Equal(t, awsRef, c.Tagged["k"])

	fake.Set(vaultRef, "later")
	c.List = nil
	require.NoError(t, r.ResolveStruct(t.Context(), &c), "it can be tried again")
	require.Equal(t, "later", c.DB.Password.Reveal())
	require.Equal(t, secretBehind, c.Table["k"].Reveal())
}

func TestResolveStructFetchesNothingWhenAFieldIsMalformed(t *testing.T) {
	fake := configFake()
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	c := struct {
		A secretref.Secret
		B string `secretref:"resolve"`
	}{unresolved(t, awsRef), "{ENC}" + canary}
	err := r.ResolveStruct(t.Context(), &c)
	require.ErrorIs(t, err, secretref.ErrSyntax)
	require.NotContains(t, err.Error(), canary)
	var located *secretref.Error
	require.ErrorAs(t, err, &located)
	require.Equal(t, "B", located.Source)
	require.Zero(t, fake.Calls())
}

func TestResolveStructRefusesWhatIsNoStructAndTagsThatDoNotFit(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	text := "x"
	for _, arg := range []any{nil, "x", &text, struct{}{}, nested{}, (*nested)(nil), map[string]secretref.Secret{}, &[]secretref.Secret{},
		&struct {
			N int `secretref:"resolve"`
		}{},
		&struct {
			S string `secretref:"reslove"`
		}{},
		&struct {
			s string `secretref:"resolve"`
		}{s: awsRef},
	} {
		require.ErrorIs(t, r.ResolveStruct(t.Context(), arg), secretref.ErrUnsupported, "%T", arg)
	}
	require.NoError(t, r.ResolveStruct(t.Context(), &struct{}{}))
}

func TestASecretIsUnmarshalledByItsTextAndResolvedInPlace(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	type config struct {
		Password     secretref.Secret
		Null, Absent secretref.Secret `secretref:"optional"`
		ByName       map[string]secretref.Secret
	}
	var c config
	document, err := json.Marshal(map[string]any{"Password": awsRef, "Null": nil, "ByName": map[string]string{"k": vaultRef}})
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(document, &c))
	require.NoError(t, r.ResolveStruct(t.Context(), &c))
	require.Equal(t, secretBehind, c.Password.Reveal())
	require.Equal(t, secretBehind, c.ByName["k"].Reveal())
	for _, s := range []secretref.Secret{c.Null, c.Absent} {
		require.Empty(t, s.Reveal())
	}

	var attr struct {
		Password secretref.Secret `xml:"password,attr"`
		Other    secretref.Secret `xml:"other"`
	}
	require.NoError(t, xml.Unmarshal([]byte(`<c password="plain"><other>`+awsRef+`</other></c>`), &attr))
	require.NoError(t, r.ResolveStruct(t.Context(), &attr))
	require.Equal(t, "plain", attr.Password.Reveal())
	require.Equal(t, secretBehind, attr.Other.Reveal())

	for _, bad := range []string{`{"Password":"[redacted]"}`, `{"Password":7}`, `{"Password":{"region":"` + canary + `"}}`} {
		var c config
		err := json.Unmarshal([]byte(bad), &c)
		require.Error(t, err)
		require.NotContains(t, err.Error(), canary)
		require.True(t, c.Password.IsZero())
	}
}

// What decoders leave in a field that they found no text for.
func TestResolveStructRefusesFieldsThatWereNeverSet(t *testing.T) {
	type config struct {
		Password secretref.Secret
		Tagged   string `secretref:"resolve"`
		List     []secretref.Secret
		Table    map[string]secretref.Secret
		Behind   *secretref.Secret
		Optional secretref.Secret   `secretref:"optional"`
		Text     string             `secretref:"resolve,optional"`
		Many     []secretref.Secret `secretref:"optional"`
	}
	zero := func() *config {
		return &config{List: make([]secretref.Secret, 1), Table: map[string]secretref.Secret{"k": {}}, Behind: new(secretref.Secret), Many: make([]secretref.Secret, 2)}
	}
	for name, opts := range map[string]secretref.Options{"by default": {}, "under Strict": {Strict: true}, "with AllowEmpty": {AllowEmpty: true}} {
		t.Run(name, func(t *testing.T) {
			opts.Fake = configFake()
			r := secretref.New(&opts)
			defer r.Close()
			err := r.ResolveStruct(t.Context(), zero())
			require.ErrorIs(t, err, secretref.ErrNotReference)
			for _, field := range []string{"Password", "List[0]", `Table["k"]`, "Behind"} {
				require.ErrorContains(t, err, "secretref: "+field+": not a secret reference: the secret was never set")
			}
			for _, field := range []string{"Optional", "Text", "Many"} {
				require.NotContains(t, err.Error(), field)
			}
			if opts.AllowEmpty {
				require.NotContains(t, err.Error(), "Tagged", "an empty string may be one that was set")
			} else {
				require.ErrorContains(t, err, "secretref: Tagged: not a secret reference: the value is empty")
			}
			require.ErrorIs(t, r.ResolveStruct(t.Context(), new(secretref.Secret)), secretref.ErrNotReference)

			c := zero()
			c.Password, c.Tagged, c.List, c.Table, c.Behind = unresolved(t, awsRef), awsRef, nil, nil, nil
			require.NoError(t, r.ResolveStruct(t.Context(), c))
			require.Equal(t, secretBehind, c.Password.Reveal())
			require.True(t, c.Optional.IsZero())
		})
	}
	t.Run("but takes empty values with AllowEmpty", func(t *testing.T) {
		r := secretref.New(&secretref.Options{Fake: configFake(), AllowEmpty: true})
		defer r.Close()
		c := struct {
			Unmarshalled, Given secretref.Secret
			Optional            secretref.Secret `secretref:"optional"`
			Tagged              string           `secretref:"resolve"`
		}{Unmarshalled: unresolved(t, ""), Given: secretref.NewSecret(""), Optional: unresolved(t, awsRef)}
		require.NoError(t, r.ResolveStruct(t.Context(), &c))
		require.Empty(t, c.Unmarshalled.Reveal())
		require.Empty(t, c.Given.Reveal())
		require.Equal(t, secretBehind, c.Optional.Reveal())
	})
	t.Run("and empty values without it", func(t *testing.T) {
		r := secretref.New(&secretref.Options{Fake: configFake()})
		defer r.Close()
		for _, s := range []secretref.Secret{unresolved(t, ""), secretref.NewSecret(""), secretref.NewSecret(" "), unresolved(t, "\n")} {
			c := struct {
				S secretref.Secret `secretref:"optional"`
			}{s}
			require.ErrorIs(t, r.ResolveStruct(t.Context(), &c), secretref.ErrNotReference)
		}
	})
}

func TestResolveStructResolvesNewSecret(t *testing.T) {
	fake := configFake()
	fake.Set(`{"keyring":"odd"}`, awsRef) // a password that looks like a reference
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	c := struct{ Reference, Plain, Odd secretref.Secret }{secretref.NewSecret(awsRef), secretref.NewSecret("plain"), secretref.NewSecret(`{"keyring":"odd"}`)}
	for range 3 {
		require.NoError(t, r.ResolveStruct(t.Context(), &c))
		require.Equal(t, secretBehind, c.Reference.Reveal())
		require.Equal(t, "plain", c.Plain.Reveal())
		require.Equal(t, awsRef, c.Odd.Reveal(), "what was resolved is not resolved again")
	}
	bad := struct{ S secretref.Secret }{secretref.NewSecret("{ENC}" + canary)}
	err := r.ResolveStruct(t.Context(), &bad)
	require.ErrorIs(t, err, secretref.ErrSyntax)
	require.NotContains(t, err.Error(), canary)

	expanded, err := r.Expand(t.Context(), "x", nil)
	require.NoError(t, err)
	live, err := r.Watch(t.Context(), `{"keyring":"odd"}`)
	require.NoError(t, err)
	done := struct{ A, B secretref.Secret }{expanded, live.Value()}
	require.NoError(t, r.ResolveStruct(t.Context(), &done))
	require.Equal(t, awsRef, done.B.Reveal(), "a live value is resolved")
}

func TestStrictHoldsForStructsToo(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: configFake(), Strict: true})
	defer r.Close()
	c := struct{ A, B, C secretref.Secret }{unresolved(t, canary), unresolved(t, ""), unresolved(t, awsRef)}
	err := r.ResolveStruct(t.Context(), &c)
	require.ErrorIs(t, err, secretref.ErrNotReference)
	require.Len(t, strings.Split(err.Error(), "\n"), 2)
	require.NotContains(t, err.Error(), canary)
}

func TestExpandRefusesBareReferences(t *testing.T) {
	bare := strings.TrimPrefix(awsRef, "{ENC}")
	vault := strings.TrimPrefix(vaultRef, "{ENC}")
	r := secretref.New(&secretref.Options{Fake: configFake(), Providers: store(func(context.Context, []byte) ([]byte, error) { return nil, nil })})
	defer r.Close()
	for _, text := range []string{
		bare, vault, "postgres://app:" + vault + "@h/x", `{"keyring":"a"}`, `{ "keyring" : "a" }`, `{"keyrin":"a"}`, `{"Keyring":"a"}`,
		`{"region":"eu-west-1","secretID":"x"}`, `{"regoin":"eu-west-1","secretId":"x"}`, `{"secretId":"x","region":"eu-west-1","note":1}`,
		`{"mount":"a","paht":"b","key":"c","endpoint":"https://v"}`, `{"mount":"a","path":"b","key":"c","endpoint":"https://v","namespace":"n"}`,
		`{"mount":"a","path":"b","key":"c","endpoint":"https://v",}`, `{"reg\u0069on":"eu-west-1","secretId":"x"}`,
		`{"db":` + bare + `}`, `[1,` + vault + `]`, awsRef + bare, bare + awsRef, "{{{" + bare, `{"storeId":"x"}`,
		`{"Region":"eu-west-1","secretID":"x"}`, `{"MOUNT":"a","PATH":"b","KEY":"c","ENDPOINT":"https://v"}`,
		url.UserPassword("app", awsRef).String() + "@h", "postgres://app:" + url.QueryEscape(bare) + "@h/x", url.QueryEscape(url.QueryEscape(awsRef)), url.PathEscape(vault),
		"<password>" + html.EscapeString(bare) + "</password>", html.EscapeString(`<ENC><"keyring":"a">`) + " ", strings.ReplaceAll(bare, `"`, "&#x22;"),
		`{"password":` + strconv.Quote(bare) + `}`, `{"password":` + strconv.Quote(vault) + `}`, `"` + strings.ReplaceAll(bare, "{", `\u007b`) + `"`,
	} {
		t.Run(text, func(t *testing.T) {
			_, err := r.Expand(t.Context(), "line 1\n"+text, nil)
			require.ErrorIs(t, err, secretref.ErrSyntax)
			require.ErrorContains(t, err, "line 2: ")
			require.ErrorContains(t, err, "{ENC}")
		})
	}
	for _, text := range []string{
		`{"a":1}`, `{"key":"v"}`, `{"path":"/x","mount":"y"}`, `{"region":"eu-west-1"}`, `{"region":"eu-west-1","bucket":"b"}`, `{}`, `{"mount":"a"`,
		"100% {", `C:\{a}\n`, "a&amp;b", "%7B%22a%22%3A1%7D", `{"a":"{\"b\":1}"}`, "%", "\\", "&;", "a\x00b",
		`{"region":"eu-west-1","secrets":["x"]}`, `{"level":"info","msg":"mount path key endpoint"}`, `{region:eu-west-1,secretId:x}`, "{", "{{", `{"`,
	} {
		got, err := r.Expand(t.Context(), text, nil)
		require.NoError(t, err, text)
		require.Equal(t, text, got.Reveal())
	}
}

// What is not a reference is looked at once, also if it is full of braces.
func TestExpandTakesLinearTime(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	for _, piece := range []string{"{", `{"`, `{"a":`, `{"a":"b",`, `{"\"`, `{   `, `{"a":1,"b":{`, `"{"`, "%7B", `\`, "&lt;", `%7B\"a%22:`, "{\n%", "\x00{"} {
		_, err := r.Expand(t.Context(), strings.Repeat(piece, 1<<20), nil)
		require.NoError(t, err)
	}
}

func TestExpandRefusesUTF16(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	for _, ref := range []string{awsRef, strings.TrimPrefix(vaultRef, "{ENC}")} {
		text := []byte("\xff\xfe")
		for _, unit := range utf16.Encode([]rune("user=app\r\npassword=" + ref + "\r\n")) {
			text = binary.LittleEndian.AppendUint16(text, unit)
		}
		_, err := r.Expand(t.Context(), string(text), nil)
		require.ErrorIs(t, err, secretref.ErrSyntax)
		require.ErrorContains(t, err, "UTF-16")
	}
}

func TestExpandReplacesReferencesAndNothingElse(t *testing.T) {
	const inner = `"region":"eu-west-1","secretId":"db","secretPointer":"/password"`
	upper := func(s string) string { return "<" + strings.ToUpper(s) + ">" }
	for name, row := range map[string]struct {
		text   string
		escape func(string) string
		want   string
	}{
		"nothing":                     {"", nil, ""},
		"no reference":                {"postgres://u:p@h/{db}?a=%7B\n", nil, "postgres://u:p@h/{db}?a=%7B\n"},
		"one":                         {"password=" + awsRef, nil, "password=" + secretBehind},
		"alone":                       {awsRef, nil, secretBehind},
		"text all around":             {"a" + awsRef + "b", nil, "a" + secretBehind + "b"},
		"several, side by side":       {awsRef + vaultRef + awsRef, nil, secretBehind + secretBehind + secretBehind},
		"the angle form":              {"a <ENC><" + inner + "> b", nil, "a " + secretBehind + " b"},
		"prefix and form mixed":       {"{ENC}<" + inner + ">,<ENC>{" + inner + "}", nil, secretBehind + "," + secretBehind},
		"over several lines":          {"a: {ENC} {\n  " + strings.ReplaceAll(inner, ",", ",\r\n\t") + "\n}\nb: c", nil, "a: " + secretBehind + "\nb: c"},
		"braces around":               {"{{ENC}{" + inner + "}}", nil, "{" + secretBehind + "}"},
		"braces in a value":           {`{ENC}{"keyring":"}{ENC}\""}x`, nil, "odd name" + "x"},
		"only the secret is escaped":  {"a&b=" + awsRef + "&c d", url.QueryEscape, "a&b=" + url.QueryEscape(secretBehind) + "&c d"},
		"each secret is escaped":      {awsRef + " " + vaultRef, upper, upper(secretBehind) + " " + upper(secretBehind)},
		"garbage behind is only text": {awsRef + `,"x":"y"}`, nil, secretBehind + `,"x":"y"}`},
		"parts of a prefix":           {"{ENC <ENC {EN} {ENCX} ENC}", nil, "{ENC <ENC {EN} {ENCX} ENC}"},
		"invalid UTF-8 around":        {"\xff" + awsRef + "\xfe", nil, "\xff" + secretBehind + "\xfe"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := configFake()
			fake.Set(`{"keyring":"}{ENC}\""}`, "odd name")
			r := secretref.New(&secretref.Options{Fake: fake, Strict: true})
			defer r.Close()
			got, err := r.Expand(t.Context(), row.text, row.escape)
			require.NoError(t, err)
			require.Equal(t, row.want, got.Reveal())
			require.Equal(t, "[redacted]", fmt.Sprint(secretref.Secret(got)), "the whole is a Secret")
		})
	}
}

func TestASecretThatLooksLikeAReferenceIsNotExpandedAgain(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"keyring":"a"}`, `{ENC}{"keyring":"b"}`)
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	got, err := r.Expand(t.Context(), `x{ENC}{"keyring":"a"}`, nil)
	require.NoError(t, err)
	require.Equal(t, `x{ENC}{"keyring":"b"}`, got.Reveal())
}

func TestExpandNamesTheLineOfAMistakeAndFetchesNothing(t *testing.T) {
	fake := configFake()
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	for name, row := range map[string]struct {
		broken string
		kind   error
	}{
		"nothing behind the prefix": {"{ENC}", secretref.ErrSyntax},
		"a password behind it":      {"{ENC}" + canary, secretref.ErrSyntax},
		"cut short":                 {`{ENC}{"region":"` + canary, secretref.ErrSyntax},
		"an unknown field":          {`{ENC}{"region":"x","secretId":"y","z":"` + canary + `"}`, secretref.ErrSyntax},
		"a field missing":           {`{ENC}{"region":"` + canary + `"}`, secretref.ErrSyntax},
		"no fields":                 {`{ENC}{}`, secretref.ErrSyntax},
		"entities for quotes":       {`{ENC}{&quot;region&quot;:&quot;` + canary + `&quot;}`, secretref.ErrSyntax},
		"the prefix in small":       {`{enc}{"region":"eu-west-1","secretId":"` + canary + `"}`, secretref.ErrSyntax},
		"the other one in small":    {`<Enc>{"region":"eu-west-1","secretId":"` + canary + `"}`, secretref.ErrSyntax},
		"the prefix twice":          {`{ENC}` + awsRef, secretref.ErrSyntax},
		"the wrong bracket":         {`{ENC}{"region":"eu-west-1","secretId":"` + canary + `">`, secretref.ErrSyntax},
		"the placeholder":           {`{ENC}{ATL_SECURED}`, secretref.ErrUnsupported},
		"too long":                  {`{ENC}{"keyring":"` + strings.Repeat("x", 70<<10) + `"}`, secretref.ErrSyntax},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := r.Expand(t.Context(), "first "+awsRef+"\nsecond\nthird "+row.broken+" "+canary+"\nfourth", nil)
			require.ErrorIs(t, err, row.kind)
			require.NotContains(t, err.Error(), canary)
			var located *secretref.Error
			require.ErrorAs(t, err, &located)
			require.Equal(t, "line 3", located.Source)
			require.True(t, got.IsZero())
		})
	}
	require.Zero(t, fake.Calls())
}

func TestExpandTellsEveryReferenceThatFailed(t *testing.T) {
	fake := configFake()
	fake.Fail(vaultRef, secretref.ErrDenied)
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	long := strings.ReplaceAll(awsRef, `,"`, ",\n\"") // on three lines
	got, err := r.Expand(t.Context(), long+"\n"+vaultRef+"\n\n"+`{ENC}{"keyring":"x"}`+"\n", nil)
	require.True(t, got.IsZero())
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], "secretref: line 4: "+vaultRef+": access denied")
	require.Contains(t, lines[1], `secretref: line 6: {ENC}{"keyring":"x"}: not found`)
}

func TestTheAngleFormWorksUnderAClass(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`, "angle")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	const class = "encrypted-property.cipher.classname=com.atlassian.secrets.store.aws.AwsSecretsManagerStore\n"
	c, err := secretref.ReadConfig(write(t, "bitbucket.properties", class+`jdbc.password=<ENC><"region":"eu-west-1","secretId":"db">`))
	require.NoError(t, err)
	settings, err := r.ResolveConfig(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, "angle", settings.Database.Password.Reveal())

	c, err = secretref.ReadConfig(write(t, "bitbucket.properties", class+`jdbc.password={ENC}{ENC}{"region":"eu-west-1","secretId":"db"}`))
	require.NoError(t, err)
	_, err = r.ResolveConfig(t.Context(), c)
	require.ErrorIs(t, err, secretref.ErrSyntax)
}

func TestAPlaceholderDoesNotKeepTheOtherValuesFromBeingResolved(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`, "other")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	c, err := secretref.ReadConfig(write(t, "bitbucket.properties",
		"jdbc.password={ATL_SECURED}\nplugin.password={ENC}{\"region\":\"eu-west-1\",\"secretId\":\"db\"}\n"))
	require.NoError(t, err)
	settings, err := r.ResolveConfig(t.Context(), c)
	require.ErrorIs(t, err, secretref.ErrUnsupported)
	require.Equal(t, map[string]string{"plugin.password": "other"}, revealMap(settings.Secrets))
}

func BenchmarkParse(b *testing.B) {
	for name, value := range map[string]string{
		"aws":       `{ENC}{"region":"ap-southeast-2","secretId":"mySecretId", "secretPointer": "/password"}`,
		"vault":     `{ENC}{"mount": "secret", "path": "sample/secret", "key": "password", "endpoint": "https://vault.example.com"}`,
		"plaintext": "correct horse battery staple",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = secretref.Parse(value)
			}
		})
	}
}

func BenchmarkResolveOverFake(b *testing.B) {
	fake := secretref.NewFake()
	fake.Set(awsRef, "x")
	r := secretref.New(&secretref.Options{Fake: fake, TTL: -1})
	defer r.Close()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = r.Resolve(b.Context(), awsRef)
	}
}
