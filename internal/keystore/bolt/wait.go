package bolt

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	minPause = time.Millisecond
	maxPause = 20 * time.Millisecond

	// patience is how long a reader lets writers go first.
	patience = 100 * time.Millisecond
)

// poll tries until it has succeeded or failed, or ctx has ended.
func poll(ctx context.Context, try func() (bool, error)) error {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		if done, err := try(); done || err != nil {
			return err
		}
		timer := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}
