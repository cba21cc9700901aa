package fetch_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/fetch/cache"
	"github.com/seed74218947/secretref/internal/ref"
)

// The attempts for each secret of a list are logged, its error says how often it was
// tried, and a caller that leaves early gets the latest error.
func TestAttempts(t *testing.T) {
	world := func(t *testing.T, answer func(call int, secret string) error,
		test func(*testing.T, *fetch.Fetcher, []ref.Reference, *bytes.Buffer, *queuer)) {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			s := &queuer{answer: answer}
			p := fetch.New(map[ref.Kind]backend.Backend{ref.AWS: s},
				fetch.Settings{Timeout: 30 * time.Second, TTL: -1,
					Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
			defer p.Close()
			refs := []ref.Reference{{Kind: ref.AWS, Region: "eu-west-1", SecretID: "one"},
				{Kind: ref.AWS, Region: "eu-west-1", SecretID: "two"}}
			test(t, p, refs, &log, s)
		})
	}
	lines := func(log *bytes.Buffer, secret string) (n int) {
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "fetch attempt failed") && strings.Contains(line, secret) {
				n++
			}
		}
		return n
	}
	t.Run("all fail", func(t *testing.T) {
		world(t, func(int, string) error { return fault.New(fault.Unavailable, "down") },
			func(t *testing.T, p *fetch.Fetcher, refs []ref.Reference, log *bytes.Buffer, s *queuer) {
				for _, got := range p.Resolve(t.Context(), refs, cache.UseCached) {
					require.Regexp(t, `^unavailable: down; gave up after \d+ attempts in (2\d|30)s$`,
						got.Err.Error())
				}
				require.Equal(t, s.count("one"), lines(log, "one"))
				require.Equal(t, s.count("two"), lines(log, "two"))
			})
	})
	t.Run("one fails", func(t *testing.T) {
		world(t, func(_ int, secret string) error {
			if secret == "two" {
				return fault.New(fault.Unavailable, "down")
			}
			return nil
		}, func(t *testing.T, p *fetch.Fetcher, refs []ref.Reference, log *bytes.Buffer, s *queuer) {
			got := p.Resolve(t.Context(), refs, cache.UseCached)
			require.NoError(t, got[0].Err)
			require.Regexp(t, `^unavailable: down; gave up after \d+ attempts in (2\d|30)s$`,
				got[1].Err.Error())
			require.Zero(t, lines(log, "one"))
			require.Equal(t, s.count("two"), lines(log, "two"))
		})
	})
	t.Run("a caller leaves", func(t *testing.T) {
		world(t, func(int, string) error { return fault.New(fault.Unavailable, "down") },
			func(t *testing.T, p *fetch.Fetcher, refs []ref.Reference, _ *bytes.Buffer, _ *queuer) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				for _, got := range p.Resolve(ctx, refs, cache.UseCached) {
					require.Regexp(t,
						`gave up after \d+ attempts in 5s; the last attempt said: unavailable: down$`,
						got.Err.Error())
				}
			})
	})
}
