package secretref_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

type storeError struct{ text string }

func (e *storeError) Error() string { return e.text }

func TestProviderErrors(t *testing.T) {
	cause := &storeError{canary}
	for name, c := range map[string]struct {
		err   error
		kind  error
		words string
	}{
		"of its own":             {cause, nil, "*secretref_test.storeError, whose text is not shown"},
		"a sentinel":             {secretref.ErrDenied, secretref.ErrDenied, `access denied: from the Provider for "com.example.Store"`},
		"a wrapped sentinel":     {fmt.Errorf("%w: "+canary, secretref.ErrDenied), secretref.ErrDenied, "*fmt.wrapError"},
		"with a message":         {secretref.WithMessage(cause, "needs the role reader"), nil, `needs the role reader (Provider for "com.example.Store")`},
		"with a message, kind":   {secretref.WithMessage(fmt.Errorf("%w: %w", secretref.ErrNotFound, cause), "no such vault"), secretref.ErrNotFound, "not found: no such vault (Provider"},
		"a message inside":       {fmt.Errorf(canary+": %w", secretref.WithMessage(cause, "quota used up")), nil, "quota used up"},
		"a message with escapes": {secretref.WithMessage(cause, "a\x1b[2J\nb"), nil, `a\x1b[2J\nb`},
	} {
		t.Run(name, func(t *testing.T) {
			r := secretref.New(&secretref.Options{Providers: store(func(context.Context, []byte) ([]byte, error) { return nil, c.err })})
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

// walkErrors visits every error that unwrapping finds, as crash reporters do.
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
	t.Run("fields that join to one text", func(t *testing.T) {
		r := secretref.New(&secretref.Options{Strict: true, Providers: []secretref.Provider{
			{Fields: []string{"a", "b"}, Fetch: says("two fields")},
			{Fields: []string{"a+b"}, Fetch: says("one field")},
			{Fields: []string{`"a+b"`}, Fetch: says("quoted")},
			{Fields: []string{`\"a+b\"`}, Fetch: says("quoted twice")},
			{Fields: []string{"c\xff"}, Fetch: says("ff")},
			{Fields: []string{"c\xfe"}, Fetch: says("fe")},
		}})
		defer r.Close()
		require.Equal(t, "two fields", resolved(t, r, `{ENC}{"a":"1","b":"2"}`))
		require.Equal(t, "one field", resolved(t, r, `{ENC}{"a+b":"1"}`))
	})
	t.Run("the class of a file is a ClassName", func(t *testing.T) {
		r := secretref.New(&secretref.Options{Providers: []secretref.Provider{{Fields: []string{"storeId"}, Fetch: says("wrong")}}})
		defer r.Close()
		c := &secretref.ConfigFile{Product: secretref.Bitbucket, Entries: []secretref.Entry{
			{Key: "jdbc.password", Value: secretref.NewSecret("x")}, {Key: "jdbc.password.decrypter.classname", Value: secretref.NewSecret("storeId")}}}
		_, err := r.ResolveConfig(t.Context(), c)
		require.ErrorIs(t, err, secretref.ErrUnsupported)
	})
}
