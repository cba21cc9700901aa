// Package flock locks files between processes and within one, compatibly with bbolt.
package flock

import (
	"context"
	"math/rand/v2"
	"os"
	"time"
)

const (
	minPollInterval = time.Millisecond
	maxPollInterval = 20 * time.Millisecond

	// maxReaderDeference is how long a reader lets writers go first.
	maxReaderDeference = 100 * time.Millisecond
)

// The lock of a file goes to the process that tries at the right moment. While readers
// overlap a writer never gets it, and a writer in a loop hardly lets others in. So
// writers pass through two slots, each of which one writer at a time can take. The next
// writer waits in slotNext until it can take slotCurrent, where it waits for the lock
// and holds it. Readers defer to the writer in slotCurrent.
//
// The slots only improve fairness. Locking also works on operating systems without them.
const (
	slotNext = iota
	slotCurrent
)

// Wait waits for a shared or exclusive lock of a file until ctx ends. The lock lasts
// until the file is closed.
func Wait(ctx context.Context, f *os.File, exclusive bool) error {
	if exclusive {
		return waitToWrite(ctx, f)
	}
	return waitToRead(ctx, f)
}

func waitToWrite(ctx context.Context, f *os.File) error {
	if err := poll(ctx, func() (bool, error) { return takeSlot(f, slotNext), nil }); err != nil {
		return err
	}
	defer leaveSlot(f, slotNext)
	if err := poll(ctx, func() (bool, error) { return takeSlot(f, slotCurrent), nil }); err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) { return Try(f, true) })
}

func waitToRead(ctx context.Context, f *os.File) error {
	start := time.Now()
	return poll(ctx, func() (bool, error) {
		if slotTaken(f, slotCurrent) && time.Since(start) < maxReaderDeference {
			return false, nil
		}
		return Try(f, false)
	})
}

// poll calls try until it reports true or an error, or until ctx ends.
func poll(ctx context.Context, try func() (bool, error)) error {
	for pause := minPollInterval; ; pause = min(2*pause, maxPollInterval) {
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
