package ui

import (
	"errors"
	"time"
)

// DefaultTimeout limits opening a keyring and fetching each secret.
const DefaultTimeout = 10 * time.Second

// Timeout is the flag -timeout; zero if not given.
type Timeout time.Duration

// Value returns the given timeout or the default.
func (t Timeout) Value() time.Duration {
	if t == 0 {
		return DefaultTimeout
	}
	return time.Duration(t)
}

// String implements flag.Value.
func (t *Timeout) String() string { return t.Value().String() }

// Set implements flag.Value.
func (t *Timeout) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return errors.New("not a duration such as 10s")
	}
	*t = Timeout(d)
	return nil
}

// TimeoutHelp describes the flag in the help of most commands.
const TimeoutHelp = `  -timeout D                  limit for fetching each secret and for opening the
                              keyring (default 10s)`
