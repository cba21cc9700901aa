package secretref_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

type storeError struct{ text string }

func (s *storeError) Error() string { return s.text }

func TestProvider_errors(t *testing.T) {
	cause := &storeError{canary}
	for name, c := range map[string]struct {
		err   error
		kind  error
		words string
	}{
		"of its own": {cause, nil, "*secretref_test.storeError, whose text is not shown"},
		"a sentinel": {
			secretref.ErrDenied, secretref.ErrDenied,
			`access denied: from the Provider for "com.example.Store"`,
		},
		"a wrapped sentinel": {
			fmt.Errorf("%w: "+canary, secretref.ErrDenied), secretref.ErrDenied, "*fmt.wrapError",
		},
		"with a message": {
			secretref.WithMessage(cause, "needs the role reader"), nil,
			`needs the role reader (Provider for "com.example.Store")`,
		},
		"with a message, kind": {
			secretref.WithMessage(fmt.Errorf("%w: %w", secretref.ErrNotFound, cause), "no such vault"),
			secretref.ErrNotFound, "not found: no such vault (Provider",
		},
		"a message inside": {
			fmt.Errorf(canary+": %w", secretref.WithMessage(cause, "quota used up")), nil, "quota used up",
		},
		"a message with escapes": {secretref.WithMessage(cause, "a\x1b[2J\nb"), nil, `a\x1b[2J\nb`},
	} {
		t.Run(name, func(t *testing.T) {
			r := secretref.New(&secretref.Options{
				Providers: storeProviders(func(context.Context, []byte) ([]byte, error) { return nil, c.err }),
			})
			defer r.Close()
			_, err := r.Resolve(t.Context(), `{"storeId":"db"}`)
			require.ErrorContains(t, err, c.words)
			require.ErrorIs(t, err, c.err)
			if c.kind != nil {
				require.ErrorIs(t, err, c.kind)
			}
			if errors.Is(c.err, cause) {
				var found *storeError
				require.ErrorAs(t, err, &found)
				require.Same(t, cause, found)
			}
			requireQuiet(t, err)
			walkErrors(err, func(e error) { require.NotContains(t, e.Error(), canary) })
			require.NotContains(t, dump(err), canary)
		})
	}
	require.NoError(t, secretref.WithMessage(nil, "x"))
}

// walkErrors visits every error in the tree of err, as crash reporters do.
func walkErrors(err error, visit func(error)) {
	if err == nil {
		return
	}
	visit(err)
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		walkErrors(e.Unwrap(), visit)
	case interface{ Unwrap() []error }:
		for _, e := range e.Unwrap() {
			walkErrors(e, visit)
		}
	case interface{ Cause() error }:
		walkErrors(e.Cause(), visit)
	}
}

func TestProvider(t *testing.T) {
	says := func(text string) func(context.Context, []byte) ([]byte, error) {
		return func(context.Context, []byte) ([]byte, error) { return []byte(text), nil }
	}
	t.Run("fields whose names join to the same text", func(t *testing.T) {
		r := secretref.New(&secretref.Options{Strict: true, Providers: []secretref.Provider{
			{Fields: []string{"a", "b"}, Fetch: says("two fields")},
			{Fields: []string{"a+b"}, Fetch: says("one field")},
			{Fields: []string{`"a+b"`}, Fetch: says("quoted")},
			{Fields: []string{`\"a+b\"`}, Fetch: says("quoted twice")},
			{Fields: []string{"c\xff"}, Fetch: says("ff")},
			{Fields: []string{"c\xfe"}, Fetch: says("fe")},
		}})
		defer r.Close()
		require.Equal(t, "two fields", resolveText(t, r, `{ENC}{"a":"1","b":"2"}`))
		require.Equal(t, "one field", resolveText(t, r, `{ENC}{"a+b":"1"}`))
	})
	t.Run("the class of a file is a ClassName", func(t *testing.T) {
		r := secretref.New(&secretref.Options{
			Providers: []secretref.Provider{{Fields: []string{"storeId"}, Fetch: says("wrong")}},
		})
		defer r.Close()
		c := &secretref.ConfigFile{Product: secretref.Bitbucket, Entries: []secretref.Entry{
			{Key: "jdbc.password", Value: secretref.NewSecret("x")},
			{Key: "jdbc.password.decrypter.classname", Value: secretref.NewSecret("storeId")}}}
		_, err := r.ResolveConfig(t.Context(), c)
		require.ErrorIs(t, err, secretref.ErrUnsupported)
	})
}

func TestProvider_coordinates(t *testing.T) {
	r := secretref.New(&secretref.Options{
		Providers: storeProviders(func(_ context.Context, coordinates []byte) ([]byte, error) {
			return append([]byte("got "), coordinates...), nil
		})})
	defer r.Close()
	const value = `{ENC}{"storeId":"x", "more":[1]}`
	ref, err := r.Parse(value)
	require.NoError(t, err)
	require.Equal(t, secretref.CustomReference{
		Class: "com.example.Store", Coordinates: `{"storeId":"x", "more":[1]}`,
	}, ref)
	again, err := r.Parse(ref.String())
	require.NoError(t, err)
	require.Equal(t, ref, again)

	s, err := r.Resolve(t.Context(), value)
	require.NoError(t, err)
	require.Equal(t, `got {"storeId":"x", "more":[1]}`, s.Reveal())
	_, err = secretref.Parse(value)
	require.ErrorIs(t, err, secretref.ErrSyntax,
		"the function Parse knows no Providers, and behind a prefix nothing is plaintext")
}

func TestProvider_permanentErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := errors.New("store says " + canary)
		calls := 0
		var next error
		r := secretref.New(&secretref.Options{
			Providers: storeProviders(func(context.Context, []byte) ([]byte, error) {
				if calls++; calls < 3 {
					return nil, next
				}
				return []byte("x"), nil
			})})
		defer r.Close()

		next = own
		_, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
		require.ErrorIs(t, err, own, "reachable")
		require.NotContains(t, err.Error(), canary, "it is not printed")
		require.Equal(t, 1, calls)

		calls, next = 0, fmt.Errorf("%w: %w", own, secretref.ErrUnavailable)
		s, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
		require.NoError(t, err)
		require.Equal(t, "x", s.Reveal())
		require.Equal(t, 3, calls)
	})
}

func TestProvider_panics(t *testing.T) {
	r := secretref.New(&secretref.Options{
		Providers: storeProviders(func(context.Context, []byte) ([]byte, error) { panic(canary) }),
	})
	defer r.Close()
	_, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.NotContains(t, err.Error(), canary)
}

func TestProvider_endsItsGoroutine(t *testing.T) {
	r := secretref.New(&secretref.Options{
		Providers: storeProviders(func(context.Context, []byte) ([]byte, error) {
			runtime.Goexit()
			return nil, nil
		})})
	defer r.Close()
	_, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
	require.ErrorIs(t, err, secretref.ErrUnavailable)
}

func TestProvider_timeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := secretref.New(&secretref.Options{
			Timeout: time.Second, Providers: storeProviders(func(ctx context.Context, _ []byte) ([]byte,
				error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})})
		defer r.Close()
		_, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
		require.ErrorIs(t, err, secretref.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestProvider_invalid(t *testing.T) {
	fetch := func(context.Context, []byte) ([]byte, error) { return nil, nil }
	for name, providers := range map[string][]secretref.Provider{
		"no Fetch":                {{ClassName: "a"}},
		"neither class nor field": {{Fetch: fetch}},
		"twice the same class":    {{ClassName: "a", Fetch: fetch}, {ClassName: "a", Fetch: fetch}},
		"a product's own class": {
			{ClassName: "com.atlassian.secrets.store.aws.AwsSecretsManagerStore", Fetch: fetch},
		},
		"an empty field":       {{Fields: []string{"a", ""}, Fetch: fetch}},
		"only built-in fields": {{Fields: []string{"region", "key"}, Fetch: fetch}},
	} {
		require.Panics(t, func() { secretref.New(&secretref.Options{Providers: providers}) }, name)
	}
}

// retryLater is an error of a Provider with the time until the next attempt.
type retryLater time.Duration

func (r retryLater) Error() string             { return "busy" }
func (r retryLater) Unwrap() error             { return secretref.ErrUnavailable }
func (r retryLater) RetryAfter() time.Duration { return time.Duration(r) }

func TestProvider_retryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := secretref.New(&secretref.Options{
			Providers: storeProviders(func(context.Context, []byte) ([]byte, error) {
				if calls++; calls < 3 {
					return nil, fmt.Errorf("at the moment: %w", retryLater(7*time.Second))
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
