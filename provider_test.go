package secretref_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

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
		c := &secretref.Config{Product: secretref.Bitbucket, Entries: []secretref.Entry{
			{Key: "jdbc.password", Value: "x"}, {Key: "jdbc.password.decrypter.classname", Value: "storeId"}}}
		_, err := r.ResolveConfig(t.Context(), c)
		require.ErrorIs(t, err, secretref.ErrUnsupported)
	})
}
