// Package flock locks files, as bbolt does, between processes and within one.
package flock

import (
	"context"
	"math/rand/v2"
	"os"
	"time"
)

const (
	minPause = time.Millisecond
	maxPause = 20 * time.Millisecond

	// patience is how long a reader lets writers go first.
	patience = 100 * time.Millisecond
)

// The lock of a file goes to whoever asks at the right moment. As long as
// readers overlap there is no such moment for a writer, and a writer in a loop
// leaves the others hardly any. So writers pass two places on their way, where
// there is room for one at a time: the one that is next waits in the first, and
// goes on to the second as soon as that is free; there it waits for the lock of
// the file and holds it. Readers let the one in the second place go first.
//
// The places are a courtesy: where the operating system has no means for them
// all works without.
const (
	placeNext = iota
	placeInside
)

// Wait waits for the lock of a file, shared with others that read or
// exclusively, until ctx ends. It lasts until the file is closed.
func Wait(ctx context.Context, f *os.File, exclusive bool) error {
	if exclusive {
		return waitToWrite(ctx, f)
	}
	return waitToRead(ctx, f)
}

func waitToWrite(ctx context.Context, f *os.File) error {
	if err := poll(ctx, func() (bool, error) { return takePlace(f, placeNext), nil }); err != nil {
		return err
	}
	defer leavePlace(f, placeNext)
	if err := poll(ctx, func() (bool, error) { return takePlace(f, placeInside), nil }); err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) { return Try(f, true) })
}

func waitToRead(ctx context.Context, f *os.File) error {
	start := time.Now()
	return poll(ctx, func() (bool, error) {
		if placeTaken(f, placeInside) && time.Since(start) < patience {
			return false, nil
		}
		return Try(f, false)
	})
}

// poll tries until it has succeeded or failed, or ctx has ended.
func poll(ctx context.Context, try func() (bool, error)) error {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		if done, err := try(); done || err != nil {
			return err
		}
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}
