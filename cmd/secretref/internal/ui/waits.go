package ui

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed74218947/secretref"
)

const (
	firstReport    = 2 * time.Second
	reportInterval = 5 * time.Second

	// The messages that the library logs about a fetch.
	msgFetchBegins   = "fetch begins"
	msgAttemptFailed = "fetch attempt failed"
	msgFetchEnds     = "fetch"
)

// waitReporter reports on w what the command is waiting for: the last failed attempt
// to fetch a secret, or a secret whose first attempt has no answer yet. It reads the
// library's log for this. The library itself warns about long waits for a lock.
type waitReporter struct {
	w    io.Writer
	done chan struct{}
	wait sync.WaitGroup

	mu       sync.Mutex
	pending  string         // the last failure, not reported yet
	inFlight map[string]int // number of unanswered fetches by reference
}

// ReportWaits starts reporting long waits on w. It returns a logger for the library,
// which passes other messages on to log, and a function that ends the reports.
func ReportWaits(w io.Writer, log *slog.Logger) (*slog.Logger, func()) {
	n := &waitReporter{w: w, done: make(chan struct{}), inFlight: map[string]int{}}
	n.wait.Go(n.run)
	var once sync.Once
	return slog.New(waitHandler{log.Handler(), n}), func() {
		once.Do(func() { close(n.done) })
		n.wait.Wait() // no write may follow
	}
}

func (n *waitReporter) run() {
	timer := time.NewTimer(firstReport)
	defer timer.Stop()
	for {
		select {
		case <-n.done:
			return
		case <-timer.C:
			timer.Reset(reportInterval)
			if text := cmp.Or(n.swapPending(""), n.describeInFlight()); text != "" {
				_ = Line(n.w, "secretref: waiting: %s", text)
			}
		}
	}
}

// swapPending replaces the pending report and returns the previous one.
func (n *waitReporter) swapPending(text string) (was string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	was, n.pending = n.pending, text
	return was
}

// track counts a fetch that begins or is answered.
func (n *waitReporter) track(reference string, begins bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case begins:
		n.inFlight[reference]++
	case n.inFlight[reference] > 1:
		n.inFlight[reference]--
	default:
		delete(n.inFlight, reference)
	}
}

// describeInFlight names a fetch without an answer, or returns "".
func (n *waitReporter) describeInFlight() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.inFlight) == 0 {
		return ""
	}
	text := "no answer yet for " + slices.Min(slices.Collect(maps.Keys(n.inFlight)))
	if more := len(n.inFlight) - 1; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

type waitHandler struct {
	slog.Handler
	waits *waitReporter
}

// Enabled implements slog.Handler.
func (w waitHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (w waitHandler) Handle(ctx context.Context, r slog.Record) error {
	switch {
	case r.Message == msgAttemptFailed:
		w.waits.track(attrMap(r)["reference"], false)
		w.waits.swapPending(describeAttempt(r))
		return nil
	case r.Message == msgFetchBegins, r.Message == msgFetchEnds:
		w.waits.track(attrMap(r)["reference"], r.Message == msgFetchBegins)
		return nil
	case !w.Handler.Enabled(ctx, r.Level):
		return nil
	}
	return w.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (w waitHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return waitHandler{w.Handler.WithAttrs(attrs), w.waits}
}

// WithGroup implements slog.Handler.
func (w waitHandler) WithGroup(name string) slog.Handler {
	return waitHandler{w.Handler.WithGroup(name), w.waits}
}

func attrMap(r slog.Record) map[string]string {
	has := map[string]string{}
	r.Attrs(func(a slog.Attr) bool {
		has[a.Key] = a.Value.Resolve().String()
		return true
	})
	return has
}

// describeAttempt returns the reason why an attempt failed, and its number.
func describeAttempt(r slog.Record) string {
	has := attrMap(r)
	text := strings.TrimPrefix(strings.TrimPrefix(has["error"], "secretref: "),
		secretref.ErrUnavailable.Error()+": ")
	if n := has["attempt"]; n != "" {
		text += " (attempt " + n + ")"
	}
	return text
}
