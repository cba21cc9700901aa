package ui

import (
	"errors"
	"time"
)

// DefaultTimeout is how long opening a keyring, and one secret, may take.
const DefaultTimeout = 10 * time.Second

// Timeout is the flag -timeout; zero if it is not given.
type Timeout time.Duration

// Value is what holds.
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
		return errors.New("it takes a duration such as 10s")
	}
	*t = Timeout(d)
	return nil
}
