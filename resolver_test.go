package secretref_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestResolve_plaintext(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	for _, value := range []string{"hunter2", " hunter2 ", "{x9!", `{"a":1}`, "päss", "\xff"} {
		s, err := r.Resolve(t.Context(), value)
		require.NoError(t, err)
		require.Equal(t, value, s.Reveal())
	}
}

func TestResolveAll_oneFetchPerSecret(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`,
		`{"user":"u","password":"p","port":5432,"tls":true}`)
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	at := func(pointer string) string {
		return `{"region":"eu-west-1","secretId":"db","secretPointer":"` + pointer + `"}`
	}
	got, err := r.ResolveAll(t.Context(), at("/user"), at("/password"), "plain", at("/port"),
		at("/tls"), at("/user"))
	require.NoError(t, err)
	require.Equal(t, []string{"u", "p", "plain", "5432", "true", "u"}, reveal(got))
	require.Equal(t, 1, fake.Calls())
}

func TestResolveAll_errors(t *testing.T) {
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

func TestResolveAll_malformed(t *testing.T) {
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

func TestResolveReference(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(awsRef, "x")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	s, err := r.ResolveReference(t.Context(), secretref.AWSReference{
		Region: "eu-west-1", SecretID: "db", SecretPointer: "/password",
	})
	require.NoError(t, err)
	require.Equal(t, "x", s.Reveal())
	for _, ref := range []secretref.Reference{
		nil, secretref.AWSReference{}, secretref.AWSReference{Region: "x/", SecretID: "y"},
		secretref.AWSReference{Region: "x", SecretID: "y", SecretPointer: "z"},
		secretref.VaultReference{Mount: "m", Path: "../p", Key: "k", Endpoint: "https://v"},
		secretref.VaultReference{Mount: "m", Path: "p", Key: "k"},
		secretref.KeyringReference{}, secretref.KeyringReference{Name: strings.Repeat("x", 1025)},
		secretref.CustomReference{},
	} {
		_, err := r.ResolveReference(t.Context(), ref)
		require.ErrorIs(t, err, secretref.ErrSyntax, "%#v", ref)
	}
	_, err = r.ResolveReference(t.Context(), secretref.CustomReference{
		Class: "com.example.None", Coordinates: "x",
	})
	require.ErrorIs(t, err, secretref.ErrUnsupported)
	_, err = secretref.New(nil).ResolveReference(t.Context(), secretref.KeyringReference{Name: "x"})
	require.ErrorIs(t, err, secretref.ErrUnsupported, "there is no keyring")
}

func TestNew_allocations(t *testing.T) {
	var r *secretref.Resolver
	got := testing.AllocsPerRun(100, func() { r = secretref.New(nil) })
	require.Equal(t, 4.0, got, "the Resolver, its state, the function that hides it, and a logger")
	require.NoError(t, r.Close())
}

// The testing package logs the variables and files that a program accesses.
func TestNew_noIO(t *testing.T) {
	const child, begin, end = "SECRETREF_TEST_CHILD", "SECRETREF_TEST_BEGIN", "SECRETREF_TEST_END"
	if os.Getenv(child) == "" {
		log := filepath.Join(t.TempDir(), "log")
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.testlogfile="+log)
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		accessed, err := os.ReadFile(log)
		require.NoError(t, err)
		require.Contains(t, string(accessed), "getenv "+begin+"\ngetenv "+end+"\n")
		return
	}
	before := runtime.NumGoroutine()
	os.Getenv(begin)
	for _, opts := range []*secretref.Options{
		nil, {TTL: time.Hour, Strict: true, AWS: secretref.AWSOptions{Batch: true}},
		{Fake: secretref.NewFake()},
	} {
		r := secretref.New(opts)
		for _, value := range []string{
			"hunter2", awsRef, vaultRef, `{ENC}{"keyring":"x"}`, `{"Region":"x"}`, "",
		} {
			_, _ = r.Parse(value)
			_, _ = secretref.Parse(value)
		}
	}
	os.Getenv(end)
	require.Equal(t, before, runtime.NumGoroutine())
}

func TestResolveReference_refused(t *testing.T) {
	r := secretref.New(nil)
	defer r.Close()
	for _, ref := range []secretref.Reference{
		secretref.VaultReference{Mount: "m", Path: "p", Key: "k", Endpoint: "https://u:" + canary + "@v"},
		&secretref.VaultReference{
			Mount: "m", Path: "p", Key: "k", Endpoint: "https://u:" + canary + "@v",
		},
		secretref.VaultReference{
			Mount: "m", Path: "p", Key: "k", Endpoint: "https://v", AuthenticationType: 7,
		},
		secretref.AWSReference{Region: "x", SecretID: strings.Repeat("a", 70_000)},
	} {
		_, err := r.ResolveReference(t.Context(), ref)
		require.ErrorIs(t, err, secretref.ErrSyntax)
		require.NotContains(t, err.Error(), canary)
		require.Less(t, len(err.Error()), 300)
	}
}

func TestResolve_oneCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := secretref.New(&secretref.Options{
			Providers: storeProviders(func(ctx context.Context, _ []byte) ([]byte, error) {
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

func TestResolveAll_concurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, calls atomic.Int32
		r := secretref.New(&secretref.Options{
			Providers: storeProviders(func(context.Context, []byte) ([]byte, error) {
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
		require.Equal(t, 4*time.Second, time.Since(start), "50 at a time")
	})
}

// About ten thousand malformed values are derived from valid ones.
func TestResolve_mutatedReference(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	for _, whole := range []string{
		awsRef, vaultRef, strings.TrimPrefix(awsRef, "{ENC}"), strings.TrimPrefix(vaultRef, "{ENC}"),
	} {
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

func TestResolve_loneSurrogate(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`,
		`{"high":"`+canary+`\ud800","low":"\udc00","raw":"`+"\xed\xa0\x80"+`"}`)
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	for _, name := range []string{"high", "low", "raw"} {
		_, err := r.Resolve(t.Context(),
			`{"region":"eu-west-1","secretId":"db","secretPointer":"/`+name+`"}`)
		require.ErrorIs(t, err, secretref.ErrPointer, name)
		require.NotContains(t, err.Error(), canary)
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
