package main

import (
	"errors"
	"time"
)

// defaultTimeout is how long opening a keyring, and one secret, may take.
const defaultTimeout = 10 * time.Second

// timeout is the flag -timeout; zero if it is not given.
type timeout time.Duration

// value is what holds.
func (t timeout) value() time.Duration {
	if t == 0 {
		return defaultTimeout
	}
	return time.Duration(t)
}

// String implements flag.Value.
func (t *timeout) String() string { return t.value().String() }

// Set implements flag.Value.
func (t *timeout) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return errors.New("it takes a duration such as 10s")
	}
	*t = timeout(d)
	return nil
}
