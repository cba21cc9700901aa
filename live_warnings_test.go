package secretref_test

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestLive_warnings(t *testing.T) {
	const warning, again = "is not renewed", "is renewed again"
	lines := func(log *logText, text string) (n int) {
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, text) {
				n++
			}
		}
		return n
	}
	for _, kind := range []error{
		secretref.ErrDenied, secretref.ErrNotFound, secretref.ErrUnauthenticated,
		secretref.ErrUnsupported,
	} {
		t.Run(kind.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log logText
				fake := secretref.NewFake()
				fake.Set(awsRef, canary)
				fake.Set(vaultRef, canary)
				r := secretref.New(&secretref.Options{
					Fake: fake, Logger: slog.New(slog.NewTextHandler(&log, nil)),
				})
				defer r.Close()
				for range 5 { // all of them share the secret
					live, err := r.WatchAll(t.Context(), awsRef, awsRef, vaultRef)
					require.NoError(t, err)
					defer live.Close()
				}
				log.Reset()
				fake.Fail(awsRef, kind)
				time.Sleep(6 * time.Minute)
				require.Equal(t, 1, lines(&log, warning), log.String())
				require.Equal(t, 1, lines(&log, "level=WARN"), "one warning")
				require.Contains(t, log.String(), `secretId`)
				require.Contains(t, log.String(), kind.Error())
				time.Sleep(10 * time.Hour)
				require.InDelta(t, 11, lines(&log, warning), 1, "and once an hour")
				require.Zero(t, lines(&log, again))
				fake.Fail(awsRef, nil)
				time.Sleep(2 * time.Minute)
				warned := lines(&log, warning)
				time.Sleep(10 * time.Hour)
				require.Equal(t, warned, lines(&log, warning))
				require.Equal(t, 1, lines(&log, again))
				fake.Fail(vaultRef, kind)
				time.Sleep(6 * time.Minute)
				require.Equal(t, warned+1, lines(&log, warning), "a new failure is a new warning")
				require.NotContains(t, log.String(), canary)
			})
		})
	}
	t.Run("a value is removed from the secret", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var log logText
			fake := secretref.NewFake()
			fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"password":"`+canary+`"}`)
			r := secretref.New(&secretref.Options{
				Fake: fake, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			defer r.Close()
			live, err := r.Watch(t.Context(), awsRef)
			require.NoError(t, err)
			fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"passwort":"`+canary+`"}`)
			time.Sleep(6 * time.Minute)
			require.Equal(t, canary, live.Value().Reveal())
			require.Equal(t, 1, lines(&log, warning), log.String())
			require.NotContains(t, log.String(), canary)
		})
	})
	t.Run("an outage beyond MaxStale", func(t *testing.T) {
		var log logText
		inBubble(t, secretref.Options{
			MaxStale: time.Hour, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		}, func(t *testing.T, r *secretref.Resolver, store *remote) {
			live, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			defer live.Close()
			store.fails(secretref.ErrUnavailable)
			time.Sleep(50 * time.Minute)
			require.Zero(t, lines(&log, warning), "MaxStale covers it; this is another warning")
			time.Sleep(10 * time.Hour)
			require.InDelta(t, 10, lines(&log, warning), 1)
			store.fails(nil)
			time.Sleep(2 * time.Minute)
			require.Equal(t, 1, lines(&log, again))
		})
	})
}
