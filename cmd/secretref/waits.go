package main

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

// When a person is told what a command waits for.
const (
	firstNotice = 2 * time.Second
	noticeEvery = 5 * time.Second

	// What the library's log says of a fetch.
	beginsFetch = "fetch begins"
	failedFetch = "fetch attempt failed"
	endsFetch   = "fetch"
)

// waits says on w what a command waits for: the last attempt to fetch a secret
// that failed, or a secret whose first attempt has no answer. It learns of it from the library's log. Of a lock the library
// itself warns when the wait is long.
type waits struct {
	w    io.Writer
	done chan struct{}
	end  sync.WaitGroup

	mu    sync.Mutex
	last  string         // not said yet
	quiet map[string]int // fetches under way of which nothing is known, by reference
}

// watchWaits returns a logger for the library, which passes on to log what is
// not about waiting, and what ends it.
func watchWaits(w io.Writer, log *slog.Logger) (*slog.Logger, func()) {
	n := &waits{w: w, done: make(chan struct{}), quiet: map[string]int{}}
	n.end.Go(n.run)
	var once sync.Once
	return slog.New(waitHandler{log.Handler(), n}), func() {
		once.Do(func() { close(n.done) })
		n.end.Wait() // nothing is written any more
	}
}

func (n *waits) run() {
	timer := time.NewTimer(firstNotice)
	defer timer.Stop()
	for {
		select {
		case <-n.done:
			return
		case <-timer.C:
			timer.Reset(noticeEvery)
			if text := cmp.Or(n.set(""), n.unanswered()); text != "" {
				_ = line(n.w, "secretref: waiting: %s", text)
			}
		}
	}
}

// set replaces what has not been said.
func (n *waits) set(text string) (was string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	was, n.last = n.last, text
	return was
}

// note takes notice of a fetch that begins, or of which something is known.
func (n *waits) note(reference string, begins bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case begins:
		n.quiet[reference]++
	case n.quiet[reference] > 1:
		n.quiet[reference]--
	default:
		delete(n.quiet, reference)
	}
}

// unanswered says which fetch has no answer yet, if there is one.
func (n *waits) unanswered() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.quiet) == 0 {
		return ""
	}
	text := "no answer yet about " + slices.Min(slices.Collect(maps.Keys(n.quiet)))
	if more := len(n.quiet) - 1; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

type waitHandler struct {
	slog.Handler
	waits *waits
}

// Enabled implements slog.Handler.
func (h waitHandler) Enabled(context.Context, slog.Level) bool { return true }

// Live implements slog.Handler.
func (h waitHandler) Handle(ctx context.Context, r slog.Record) error {
	switch {
	case r.Message == failedFetch:
		h.waits.note(attributes(r)["reference"], false)
		h.waits.set(failedAttempt(r))
		return nil
	case r.Message == beginsFetch, r.Message == endsFetch:
		h.waits.note(attributes(r)["reference"], r.Message == beginsFetch)
		return nil
	case !h.Handler.Enabled(ctx, r.Level):
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h waitHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return waitHandler{h.Handler.WithAttrs(attrs), h.waits}
}

// WithGroup implements slog.Handler.
func (h waitHandler) WithGroup(name string) slog.Handler {
	return waitHandler{h.Handler.WithGroup(name), h.waits}
}

func attributes(r slog.Record) map[string]string {
	has := map[string]string{}
	r.Attrs(func(a slog.Attr) bool {
		has[a.Key] = a.Value.Resolve().String()
		return true
	})
	return has
}

// failedAttempt is what a person needs to know of an attempt.
func failedAttempt(r slog.Record) string {
	has := attributes(r)
	text := strings.TrimPrefix(strings.TrimPrefix(has["error"], "secretref: "), secretref.ErrUnavailable.Error()+": ")
	if n := has["attempt"]; n != "" {
		text += " (attempt " + n + ")"
	}
	return text
}
