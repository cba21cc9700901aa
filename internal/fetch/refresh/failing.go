package refresh

import (
	"maps"
	"slices"
	"time"

	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/ref"
)

// warnInterval is the time between two warnings about a secret that keeps failing.
const warnInterval = time.Hour

// failing has the secrets whose latest refresh returned nothing usable.
type failing map[ref.Target]*failure

type failure struct {
	since, warned time.Time
}

// prune removes the secrets that are no longer watched.
func (f failing) prune(all []*watched) {
	maps.DeleteFunc(f, func(target ref.Target, _ *failure) bool {
		return !slices.ContainsFunc(all, func(w *watched) bool {
			return slices.ContainsFunc(w.refs, func(r ref.Reference) bool { return r.Target() == target })
		})
	})
}

// report logs which secrets are no longer refreshed, again each hour, and which are
// refreshed again. The cache logs when it serves a stale value.
func (r *Refresher) report(refs []ref.Reference, results []fetch.Result, unused []error) {
	now := time.Now()
	seen := map[ref.Target]bool{}
	for i, ref := range refs {
		if unused[i] != nil && !seen[ref.Target()] {
			seen[ref.Target()] = true
			r.warn(ref.Target(), now, reason(results[i], unused[i]))
		}
	}
	for i, ref := range refs {
		target := ref.Target()
		if f := r.failing[target]; f != nil && !seen[target] && results[i].Err == nil &&
			results[i].Stale == nil {
			r.log.InfoContext(r.ctx, "a live secret is renewed again",
				"backend", backend(target), "reference", target.Reference(), "after",
				now.Sub(f.since).Round(time.Second))
			delete(r.failing, target)
		}
	}
}

// reason prefers the error of the fetch to the error of the check.
func reason(result fetch.Result, unused error) error {
	if result.Err != nil {
		return result.Err
	}
	return unused
}

func (r *Refresher) warn(target ref.Target, now time.Time, err error) {
	f := r.failing[target]
	if f == nil {
		f = &failure{since: now}
		if r.failing == nil {
			r.failing = failing{}
		}
		r.failing[target] = f
	} else if now.Sub(f.warned) < warnInterval {
		return
	}
	f.warned = now
	r.log.WarnContext(r.ctx, "a live secret is not renewed; its last good value stays in use",
		"backend", backend(target), "reference", target.Reference(),
		"for", now.Sub(f.since).Round(time.Second), "error", err.Error())
}

// backend returns the kind of a target's store, or the class of a Provider.
func backend(target ref.Target) string { return fetch.Event{Target: target}.Backend() }
