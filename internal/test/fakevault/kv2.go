package fakevault

import (
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// kv2 is the key/value engine that keeps versions.
type kv2 struct {
	server   *Server
	secrets  map[string]*history
	settings settings
}

// settings are those of a mount or of one secret.
type settings struct {
	maxVersions int // 0 for the default
	casRequired bool
	deleteAfter time.Duration // 0 for never; on a mount, below 0 for never whatever the secret says
}

// history is one secret: its versions by number, the first of which is 1. It
// has none while only metadata was written.
type history struct {
	settings
	versions         map[int]*version
	newest, oldest   int // oldest is 0 until there are as many as are kept
	custom           map[string]string
	created, updated time.Time
	updatedBy        *author
}

type version struct {
	data      rawObject
	verbatim  bool // the numbers in data keep their text
	created   time.Time
	createdBy *author
	deleted   time.Time // zero unless it is deleted, or will be
	deletedBy *author
	destroyed bool
}

// An author is who did something to a secret.
type author struct {
	Actor     string    `json:"actor,omitempty"`
	EntityID  string    `json:"entity_id,omitempty"`
	ClientID  string    `json:"client_id,omitempty"`
	Operation operation `json:"operation,omitempty"`
}

func authorOf(t *token, op operation) *author {
	return &author{Actor: t.displayName, EntityID: t.entity, ClientID: t.client(), Operation: op}
}

func (b *kv2) open(string) bool { return false }

func (b *kv2) exists(path string) (exists, told bool) {
	name, path, _ := strings.Cut(path, "/")
	return b.secrets[path] != nil, name == "data" || name == "metadata"
}

func (b *kv2) parameters(path string) parameters {
	settings := none.with(integer, "max_versions").with(boolean, "cas_required")
	name, path, below := strings.Cut(path, "/")
	if !below && name == "config" {
		return settings.with(signed, "delete_version_after")
	}
	switch below := none.with(inPath, "path"); name {
	case "data":
		if path != "" && !strings.HasSuffix(path, "/") {
			return below.with(integer, "version").with(object, "data", "options")
		}
	case "metadata":
		return settings.with(duration, "delete_version_after").with(object, "custom_metadata").
			with(unplayed, "exclude_deleted").with(inPath, "path")
	case "delete", "undelete", "destroy":
		return below.with(plain, "versions")
	case "subkeys":
		return below.with(integer, "version", "depth")
	}
	return nil
}

func (b *kv2) handle(q *request) (*reply, *failure) {
	name, path, below := strings.Cut(q.path, "/")
	switch {
	case q.path == "config":
		return b.serveConfig(q)
	case name == "metadata" && q.op == list:
		return keysBelow(path, b.secrets), nil
	case !below && q.op != list && (name == "data" || name == "metadata"):
		return misdirected("Non-listing operations on the root of a K/V v2 mount are not supported."), nil
	case path == "" || strings.HasSuffix(path, "/"):
	case name == "data":
		return b.serveData(q, path)
	case name == "metadata":
		return b.serveMetadata(q, path)
	case name == "subkeys" && q.op == read:
		return b.read(q, path, "subkeys")
	case q.op != update:
	case name == "delete", name == "undelete", name == "destroy":
		return nil, b.mark(q, name, path)
	}
	command := map[operation]string{read: "get", list: "list", remove: "delete", patch: "patch"}[q.op]
	if command == "" {
		command = "put"
	}
	return misdirected("Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API " +
		"endpoints to use. If using the Vault CLI, use 'vault kv " + command +
		"' for this operation."), nil
}

// misdirected answers a path that the engine does not have, such as one
// without "data/".
func misdirected(warning string) *reply {
	return &reply{status: http.StatusNotFound, warnings: []string{warning}}
}

// serveConfig answers config, the settings of the mount.
func (b *kv2) serveConfig(q *request) (*reply, *failure) {
	switch q.op {
	case read:
		return &reply{data: b.settings.describe()}, nil
	case update:
		b.settings.update(q)
		if b.settings.deleteAfter < 0 {
			b.settings.deleteAfter = -time.Second
		}
		return nil, nil
	}
	return nil, unsupportedOperation()
}

// update takes over the settings that q has.
func (s *settings) update(q *request) (changed bool) {
	if n, ok := q.data["max_versions"].(int); ok {
		s.maxVersions, changed = n, true
	}
	if required, ok := q.data["cas_required"].(bool); ok {
		s.casRequired, changed = required, true
	}
	if after, ok := q.data["delete_version_after"].(time.Duration); ok {
		s.deleteAfter, changed = after, true
	}
	return changed
}

func (s settings) describe() map[string]any {
	return map[string]any{
		"max_versions":         s.maxVersions,
		"cas_required":         s.casRequired,
		"delete_version_after": s.deleteAfter.String(),
	}
}

func (b *kv2) serveData(q *request, path string) (*reply, *failure) {
	switch q.op {
	case read:
		return b.read(q, path, "data")
	case create, update:
		data, ok := q.data["data"]
		if !ok {
			return nil, fail(http.StatusBadRequest, "no data provided")
		}
		if err := b.checkAndSet(q, path); err != nil {
			return nil, err
		}
		return b.store(q, path, data)
	case patch:
		return b.patch(q, path)
	case remove:
		if h := b.secrets[path]; h != nil && h.versions[h.newest].delete(q, b.server.clock()) {
			h.updatedBy = authorOf(q.token, q.op)
		}
		return nil, nil
	}
	return nil, unsupportedOperation()
}

// store adds a version with the data.
func (b *kv2) store(q *request, path string, data any) (*reply, *failure) {
	text, err := marshal(data)
	if err != nil {
		return nil, fail(http.StatusInternalServerError, "%v", err)
	}
	number, v := b.write(path, version{data: text}, authorOf(q.token, q.op))
	return &reply{data: v.metadata(number, b.secrets[path].custom)}, nil
}

// patch changes what q names in the newest version, as
// https://datatracker.ietf.org/doc/html/rfc7386 has it, into a new one.
func (b *kv2) patch(q *request, path string) (*reply, *failure) {
	changes, ok := q.data["data"].(map[string]any)
	if !ok {
		return nil, fail(http.StatusBadRequest, "no data provided")
	}
	h := b.secrets[path]
	if h == nil {
		return &reply{status: http.StatusNotFound, empty: true}, nil
	}
	if err := b.checkAndSet(q, path); err != nil {
		return nil, err
	}
	v := h.versions[h.newest]
	if v == nil {
		return &reply{status: http.StatusNotFound, empty: true}, nil
	}
	if v.gone(b.server.clock()) {
		return &reply{status: http.StatusNotFound, data: v.metadata(h.newest, h.custom)}, nil
	}
	data, err := v.content()
	if err != nil {
		return nil, failed(http.StatusInternalServerError, err.Error())
	}
	if data == nil {
		return nil, failed(http.StatusInternalServerError, "resource does not exist")
	}
	return b.store(q, path, merge(data, changes))
}

// merge applies a merge patch.
func merge(data, changes map[string]any) map[string]any {
	merged := maps.Clone(data)
	if merged == nil {
		merged = map[string]any{}
	}
	for name, value := range changes {
		below, isObject := value.(map[string]any)
		switch {
		case value == nil:
			delete(merged, name)
		case isObject:
			old, _ := merged[name].(map[string]any)
			merged[name] = merge(old, below)
		default:
			merged[name] = value
		}
	}
	return merged
}

// read answers a read of a version: of its data, or of its subkeys, which are
// the data without the values.
func (b *kv2) read(q *request, path, what string) (*reply, *failure) {
	h := b.secrets[path]
	if h == nil {
		return nil, nil
	}
	number, _ := q.data["version"].(int)
	if number <= 0 {
		number = h.newest
	}
	v := h.versions[number]
	if v == nil {
		return nil, nil
	}
	data := map[string]any{what: nil, "metadata": v.metadata(number, h.custom)}
	if v.gone(b.server.clock()) {
		return &reply{status: http.StatusNotFound, data: data}, nil
	}
	if v.verbatim && what == "data" {
		data[what] = v.data
		return &reply{data: data}, nil
	}
	content, err := v.content()
	if err != nil {
		return nil, failed(http.StatusInternalServerError, err.Error())
	}
	if what == "subkeys" {
		depth, _ := q.data["depth"].(int)
		content = subkeys(content, depth)
	}
	if data[what], err = marshal(content); err != nil {
		return nil, failed(http.StatusInternalServerError, err.Error())
	}
	return &reply{data: data}, nil
}

// content reads the version's data as the real engine does: numbers become
// float64s, so that a long one comes back rounded, 1.50 as 1.5.
func (v *version) content() (map[string]any, error) {
	var data map[string]any
	err := json.Unmarshal(v.data, &data)
	return data, err
}

// subkeys returns the names in data, down to a depth, or all if that is 0.
func subkeys(data map[string]any, depth int) map[string]any {
	names := map[string]any{}
	for name, value := range data {
		names[name] = nil
		if below, ok := value.(map[string]any); ok && len(below) > 0 && depth != 1 {
			names[name] = subkeys(below, max(depth-1, 0))
		}
	}
	return names
}

// defaultMaxVersions is how many versions are kept unless somebody sets it.
const defaultMaxVersions = 10

// write adds a version, returns it with its number, and drops what is too old.
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

// add makes a secret without versions.
func (b *kv2) add(path string, now time.Time) *history {
	h := &history{versions: map[int]*version{}, created: now, updated: now}
	b.secrets[path] = h
	return h
}

// deletion returns when a version that is made or restored now will be deleted,
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

// checkAndSet checks that the newest version is the one that q expects, if it
// says or has to say.
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

// delete deletes the version, which may be nil, and reports whether it was
// there.
func (v *version) delete(q *request, now time.Time) bool {
	if v == nil || v.gone(now) {
		return false
	}
	v.deleted, v.deletedBy = now, authorOf(q.token, q.op)
	return true
}

// gone reports whether the version has no data any more.
func (v *version) gone(now time.Time) bool {
	return v.destroyed || !v.deleted.IsZero() && !v.deleted.After(now)
}

// metadata is what stands beside the data of a version.
func (v *version) metadata(number int, custom map[string]string) map[string]any {
	return map[string]any{
		"version":         number,
		"created_time":    stamp(v.created),
		"deletion_time":   stamp(v.deleted),
		"destroyed":       v.destroyed,
		"custom_metadata": custom,
	}
}

// serveMetadata answers metadata/<path>, where a secret is removed altogether.
func (b *kv2) serveMetadata(q *request, path string) (*reply, *failure) {
	h := b.secrets[path]
	switch q.op {
	case read:
		if h == nil {
			return nil, nil
		}
		return &reply{data: h.describe()}, nil
	case create, update:
		return b.writeMetadata(q, path)
	case patch:
		return nil, notPlayed("PATCH of metadata")
	case remove:
		delete(b.secrets, path)
		return nil, nil
	}
	return nil, unsupportedOperation()
}

func (h *history) describe() map[string]any {
	versions := map[string]any{}
	for number, v := range h.versions {
		m := v.metadata(number, nil)
		delete(m, "version")
		delete(m, "custom_metadata")
		m["created_by"], m["deleted_by"] = v.createdBy, v.deletedBy
		versions[strconv.Itoa(number)] = m
	}
	data := h.settings.describe()
	data["created_time"] = stamp(h.created)
	data["updated_time"] = stamp(h.updated)
	data["last_updated_by"] = h.updatedBy
	data["current_version"] = h.newest
	data["oldest_version"] = h.oldest
	data["custom_metadata"] = h.custom
	data["versions"] = versions
	return data
}

// writeMetadata takes over the metadata that q has, for a secret that may not
// be there yet.
func (b *kv2) writeMetadata(q *request, path string) (*reply, *failure) {
	given, hasCustom := q.data["custom_metadata"].(map[string]any)
	custom, err := customOf(given)
	if err != nil {
		return nil, err
	}
	var changed settings
	if !changed.update(q) && !hasCustom {
		return nil, nil
	}
	h := b.secrets[path]
	if h == nil {
		h = b.add(path, b.server.clock())
	}
	h.settings.update(q)
	if hasCustom {
		h.custom = custom
	}
	if required, ok := q.data["cas_required"].(bool); ok && !required && b.settings.casRequired {
		return &reply{warnings: []string{`"cas_required" set to false, but is mandated by backend config. ` +
			`This value will be ignored.`}}, nil
	}
	return nil, nil
}

// stamp is the engine's way to write a time; none is "".
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
