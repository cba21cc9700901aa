package fakevault

import (
	"maps"
	"net/http"
	"time"
)

// defaultMaxVersions is the default number of versions to keep.
const defaultMaxVersions = 10

// write adds a version, returns it with its number, and removes the oldest versions beyond
// the maximum.
func (b *kv2) write(path string, v version, by *author) (int, *version) {
	now := b.server.clock()
	h := b.secrets[path]
	if h == nil {
		h = b.add(path, now)
	}
	v.created, v.createdBy = now, by
	v.deleted = b.deletion(h, now)
	h.updated, h.updatedBy = now, by
	h.newest++
	h.versions[h.newest] = &v
	keep := max(h.maxVersions, b.settings.maxVersions)
	if keep <= 0 {
		keep = defaultMaxVersions
	}
	if h.newest-h.oldest >= keep {
		h.oldest = h.newest - keep + 1
		maps.DeleteFunc(h.versions, func(number int, _ *version) bool { return number < h.oldest })
	}
	return h.newest, &v
}

// add creates a secret without versions.
func (b *kv2) add(path string, now time.Time) *history {
	h := &history{versions: map[int]*version{}, created: now, updated: now}
	b.secrets[path] = h
	return h
}

// deletion returns when a version that is created or restored now will be deleted, or
// zero for never.
func (b *kv2) deletion(h *history, now time.Time) time.Time {
	after := h.deleteAfter
	if mount := b.settings.deleteAfter; mount != 0 && (after == 0 || mount < after) {
		after = mount
	}
	if after <= 0 {
		return time.Time{}
	}
	return now.Add(after)
}

// checkAndSet checks that the newest version is the one that q expects, if q or the mount
// requires it.
func (b *kv2) checkAndSet(q *request, path string) *failure {
	var current int
	required := b.settings.casRequired
	if h := b.secrets[path]; h != nil {
		current, required = h.newest, required || h.casRequired
	}
	options, _ := q.data["options"].(map[string]any)
	cas, ok := options["cas"]
	expected, err := intOf(cas)
	switch {
	case !ok && required:
		return fail(http.StatusBadRequest, "check-and-set parameter required for this call")
	case err != nil:
		return fail(http.StatusBadRequest, "error parsing check-and-set parameter")
	case ok && expected != current:
		return fail(http.StatusBadRequest, "check-and-set parameter did not match the current version")
	}
	return nil
}

// mark deletes, undeletes or destroys the versions that q names.
func (b *kv2) mark(q *request, action, path string) *failure {
	numbers, _ := q.data["versions"].([]any)
	if len(numbers) == 0 {
		if action == "destroy" {
			return fail(http.StatusBadRequest, "no version number provided")
		}
		return fail(http.StatusBadRequest, "No version number provided")
	}
	h := b.secrets[path]
	if h == nil {
		return nil
	}
	now := b.server.clock()
	for _, n := range numbers {
		v := h.versions[numberOf(n)]
		if v == nil || v.destroyed {
			continue
		}
		switch action {
		case "delete":
			v.delete(q, now)
		case "undelete":
			v.deleted, v.deletedBy = b.deletion(h, now), nil
		case "destroy":
			v.destroyed, v.data = true, nil
		}
	}
	switch action {
	case "delete":
		h.updatedBy = authorOf(q.token, q.op)
	case "undelete":
		h.updatedBy = authorOf(q.token, "undelete")
	}
	return nil
}

// delete deletes the version, which may be nil, and reports whether it existed.
func (v *version) delete(q *request, now time.Time) bool {
	if v == nil || v.gone(now) {
		return false
	}
	v.deleted, v.deletedBy = now, authorOf(q.token, q.op)
	return true
}

// gone reports whether the version was deleted or destroyed.
func (v *version) gone(now time.Time) bool {
	return v.destroyed || !v.deleted.IsZero() && !v.deleted.After(now)
}

// metadata returns the metadata of a version.
func (v *version) metadata(number int, custom map[string]string) map[string]any {
	return map[string]any{
		"version":         number,
		"created_time":    stamp(v.created),
		"deletion_time":   stamp(v.deleted),
		"destroyed":       v.destroyed,
		"custom_metadata": custom,
	}
}
