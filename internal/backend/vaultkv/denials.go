package vaultkv

import (
	"sync"
	"time"
)

const (
	// The pause after a path was denied to a new token, too, doubles from the first
	// to the most.
	initialDenialPause = time.Minute
	maxDenialPause     = 15 * time.Minute
	// maxDeniedPaths is how many paths are remembered.
	maxDeniedPaths = 4096
)

// denials remembers the paths that a new token does not help with: no login is
// made for them for a while. A token's policies are those of its login, so a
// later one may help.
type denials struct {
	mu    sync.Mutex
	paths map[string]denial
}

type denial struct {
	until time.Time
	pause time.Duration
}

// skipLogin reports whether a new token is not asked for on behalf of path. It
// begins a pause otherwise.
func (d *denials) skipLogin(path string, fresh bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, last := time.Now(), d.paths[path]
	if now.Before(last.until) {
		return true
	}
	if len(d.paths) >= maxDeniedPaths {
		clear(d.paths)
	}
	if d.paths == nil {
		d.paths = map[string]denial{}
	}
	pause := min(max(2*last.pause, initialDenialPause), maxDenialPause)
	d.paths[path] = denial{now.Add(pause), pause}
	return fresh
}

// forget ends the pause of a path that was read.
func (d *denials) forget(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.paths, path)
}
