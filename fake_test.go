package secretref_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestFake(t *testing.T) {
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
	require.Equal(t, 1, fake.Calls()-before, "a failure is not retried")
	fake.Fail(awsRef, nil)
	text, err = resolve(awsRef)
	require.NoError(t, err)
	require.Equal(t, "one", text)
	require.Panics(t, func() { fake.Set("plain", "x") })
}
