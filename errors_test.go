package secretref_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// leaky is an error with an exported field, which encoders print.
type leaky struct{ Password string }

func (l leaky) Error() string { return "says " + l.Password }

func TestError_hidesItsCause(t *testing.T) {
	var events []secretref.FetchEvent
	r := secretref.New(&secretref.Options{
		Providers: storeProviders(func(context.Context, []byte) ([]byte, error) {
			return nil, leaky{canary}
		}),
		OnFetch: func(e secretref.FetchEvent) { events = append(events, e) },
		Vault: secretref.VaultOptions{
			Token: func(context.Context) (string, error) { return "", &leaky{canary} },
		},
	})
	defer r.Close()
	_, one := r.Resolve(t.Context(), `{"storeId":"a"}`)
	_, two := r.Resolve(t.Context(), vaultRef)
	require.ErrorAs(t, one, new(leaky), "errors.As finds it")
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
