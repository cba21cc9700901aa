package secretref_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestAllowEmpty(t *testing.T) {
	blank := []string{"", " ", "\n", "\t \r\n", "\u00a0", "\u3000"}
	for name, opts := range map[string]secretref.Options{
		"by default": {}, "under Strict": {Strict: true},
	} {
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
	for name, opts := range map[string]secretref.Options{
		"AllowEmpty": {AllowEmpty: true}, "AllowEmpty and Strict": {AllowEmpty: true, Strict: true},
	} {
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
	t.Run("are accepted by Expand", func(t *testing.T) {
		r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
		defer r.Close()
		s, err := r.Expand(t.Context(), "", nil)
		require.NoError(t, err)
		require.True(t, s.IsZero())
	})
	t.Run("are accepted in a product's file", func(t *testing.T) {
		var log bytes.Buffer
		r := secretref.New(&secretref.Options{
			Fake: secretref.NewFake(), Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		defer r.Close()
		settings, err := r.ResolveConfig(t.Context(),
			readConfig(t, "dbconfig.xml", jiraFile("password", "")))
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

func TestStrict(t *testing.T) {
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

func TestTimeout_excludesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := secretref.New(&secretref.Options{
			Timeout: 3 * time.Second, Providers: storeProviders(func(context.Context, []byte) ([]byte,
				error) {
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

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events []secretref.FetchEvent
		r := secretref.New(&secretref.Options{
			Timeout: 3 * time.Second,
			Providers: storeProviders(func(context.Context, []byte) ([]byte, error) {
				return nil, secretref.ErrUnavailable
			}),
			OnFetch: func(e secretref.FetchEvent) { events = append(events, e) },
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

func TestOnFetch_panics(t *testing.T) {
	var log bytes.Buffer
	inBubble(t, secretref.Options{
		OnFetch: func(secretref.FetchEvent) { panic(canary) },
		Logger:  slog.New(slog.NewTextHandler(&log, nil)),
	},
		func(t *testing.T, r *secretref.Resolver, store *remote) {
			require.Equal(t, "a1", resolveText(t, r, remoteA))
			require.Equal(t, "a1", resolveText(t, r, remoteA))
			require.Equal(t, 1, store.called())
		})
	require.Contains(t, log.String(), "OnFetch panicked")
	require.NotContains(t, log.String(), canary)
}

// For a verb that does not fit, fmt follows pointers at any depth.
func TestOptions_redaction(t *testing.T) {
	type auth struct {
		api.AuthMethod
		SecretID string
	}
	opts := secretref.Options{
		AWS: secretref.AWSOptions{
			Config: &aws.Config{Credentials: credentials.NewStaticCredentialsProvider("AKIA", canary,
				canary)},
		},
		Vault: secretref.VaultOptions{Auth: &auth{SecretID: canary}, Role: "team"},
	}
	for _, verb := range []string{
		"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t", "%c", "%U", "%e", "%p", "%w", "%10s", "%T",
	} {
		for _, v := range []any{opts, &opts, opts.AWS, &opts.AWS, opts.Vault, &opts.Vault, []any{opts}} {
			text := fmt.Sprintf(verb, v)
			require.NotContains(t, text, canary, verb)
			require.NotContains(t, text, fmt.Sprintf("%x", canary), verb)
		}
	}
	require.Equal(t, "{Config:(set) Batch:false}", opts.AWS.String())
	require.Contains(t, opts.Vault.String(), `Auth:(set) NoToken:false RenewToken:false Role:"team"`)
	require.NotContains(t, secretref.VaultOptions{JWTPath: "eyJ" + canary}.String(), canary,
		"a token in place of its path")
}
