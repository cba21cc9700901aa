// Package retry holds the one retry loop of the library.
package retry

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
)

const (
	first = 100 * time.Millisecond
	most  = 5 * time.Second
)

// Do calls attempt until it succeeds, fails for good, or the context ends. It
// waits between attempts, twice as long each time with jitter, and at least as
// long as the backend asked. When the wait would outlast the context's
// deadline the last error is returned at once: a caller learns nothing from
// waiting for it. When the end of the context cuts an attempt off, the error of
// the one before is returned: it knows more. attempts counts the calls.
func Do(ctx context.Context, attempt func(context.Context) error) (attempts int, err error) {
	for pause := first; ; pause = min(2*pause, most) {
		attempts++
		before := err
		if err = attempt(ctx); err == nil {
			return attempts, nil
		}
		if before != nil && ctx.Err() != nil {
			return attempts, before
		}
		asked, again := fault.Transient(err)
		if !again || ctx.Err() != nil {
			return attempts, err
		}
		wait := max(pause/2+rand.N(pause/2), asked)
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
			return attempts, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return attempts, err
		}
	}
}
