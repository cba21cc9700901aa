package ui

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// lockedText is a buffer for concurrent writers and readers.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.String()
	l.text.Reset()
	return text
}

func TestReportWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said lockedText
		var warned strings.Builder
		log, stop := ReportWaits(&said, NewWarningLogger(&warned))
		attempt := func(n int) {
			log.Debug("fetch attempt failed", "reference", "{ENC}…", "attempt", n, "error",
				errors.New("unavailable: 127.0.0.1:1 refuses connections\n"))
		}
		step := func(d time.Duration, want string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			assert.Equal(t, want, said.take())
		}
		for n := range 4 {
			attempt(n + 1)
		}
		step(1999*time.Millisecond, "")
		step(time.Millisecond, "secretref: waiting: 127.0.0.1:1 refuses connections\\n "+
			"(attempt 4)\n")
		attempt(5)
		attempt(6)
		step(4999*time.Millisecond, "")
		step(time.Millisecond, "secretref: waiting: 127.0.0.1:1 refuses connections\\n "+
			"(attempt 6)\n")
		step(time.Minute, "") // nothing new
		log.Debug("fetch begins", "reference", "b")
		log.Debug("fetch begins", "reference", "a")
		step(5*time.Second, "secretref: waiting: no answer yet for a and 1 more\n")
		log.Debug("fetch", "reference", "a", "outcome", "ok")
		step(5*time.Second, "secretref: waiting: no answer yet for b\n")
		log.Debug("fetch attempt failed", "reference", "b", "error", "down")
		step(5*time.Second, "secretref: waiting: down\n")
		step(time.Minute, "") // nothing new
		attempt(7)
		stop()
		step(time.Minute, "")

		log.Info("something else")
		log.Debug("something else")
		log.Warn("careful", "line", slog.IntValue(3))
		assert.Equal(t, "secretref: warning: careful (line 3)\n", warned.String())
	})
}
