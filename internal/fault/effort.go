package fault

import (
	"fmt"
	"time"
)

// WithEffort returns a copy of err whose text ends with the number of attempts and
// their duration. It replaces such an ending of an inner retry loop.
func WithEffort(err error, attempts int, took time.Duration) error {
	told := Error{Kind: err}
	if e, ok := err.(*Error); ok {
		told = *e
	} else {
		told.RetryAfter, _ = Transient(err)
	}
	told.effort = Effort(attempts, took)
	return &told
}

// Effort returns "gave up after 7 attempts in 30s".
func Effort(attempts int, took time.Duration) string {
	unit := time.Millisecond
	switch {
	case took >= 10*time.Second:
		unit = time.Second
	case took >= time.Second:
		unit = 100 * time.Millisecond
	}
	return fmt.Sprintf("gave up after %d attempts in %s", attempts, took.Round(unit))
}
