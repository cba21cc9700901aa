package vaultkv

import (
	"sync"
	"time"
)

const (
	// The pause after a path was denied to a new token doubles from
	// initialDenialPause to maxDenialPause.
	initialDenialPause = time.Minute
	maxDenialPause     = 15 * time.Minute
	// maxDeniedPaths limits the paths that are remembered.
	maxDeniedPaths = 4096
)

// denials remembers the paths that were denied to a new token, too. During a pause
// no login is made for them. A token gets its policies at the login, so a later
// login may help.
type denials struct {
	mu    sync.Mutex
	paths map[string]denial
}

type denial struct {
	until time.Time
	pause time.Duration
}

// skipLogin reports whether no new login is made because path was denied. If there
// is no pause for path, it begins one.
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

// forget ends the pause for a path that was read.
func (d *denials) forget(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.paths, path)
}
