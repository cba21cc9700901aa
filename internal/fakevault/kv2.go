package fakevault

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// kv2 is the key/value engine that keeps versions.
type kv2 struct {
	server  *Server
	secrets map[string]*history
}

// history is one secret: its versions, the first of which is number 1.
type history struct {
	versions []*version
	custom   map[string]any
}

type version struct {
	data      rawObject
	verbatim  bool // the numbers in data keep their text
	created   time.Time
	deleted   time.Time // zero unless it is deleted
	destroyed bool
}

func (b *kv2) open(string) bool { return false }

func (b *kv2) exists(path string) bool {
	name, path, _ := strings.Cut(path, "/")
	return name != "data" && name != "metadata" || b.secrets[path] != nil
}

func (b *kv2) handle(q *request) (*reply, *failure) {
	name, path, below := strings.Cut(q.path, "/")
	switch {
	case q.path == "config" && q.op == read:
		return &reply{data: map[string]any{"cas_required": false, "delete_version_after": "0s", "max_versions": 0}}, nil
	case name == "metadata" && q.op == list:
		return keysBelow(path, b.secrets), nil
	case !below && q.op != list && (name == "data" || name == "metadata"):
		return misdirected("Non-listing operations on the root of a K/V v2 mount are not supported."), nil
	case path == "" || strings.HasSuffix(path, "/"):
	case name == "data":
		return b.serveData(q, path)
	case name == "metadata":
		return b.serveMetadata(q, path)
	case q.op != update:
	case name == "delete", name == "undelete", name == "destroy":
		return nil, b.mark(q, name, path)
	}
	command := map[operation]string{read: "get", list: "list", remove: "delete"}[q.op]
	if command == "" {
		command = "put"
	}
	return misdirected("Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API " +
		"endpoints to use. If using the Vault CLI, use 'vault kv " + command + "' for this operation."), nil
}

// misdirected answers a path that the engine does not have, such as one
// without "data/".
func misdirected(warning string) *reply {
	return &reply{status: http.StatusNotFound, warnings: []string{warning}}
}

func (b *kv2) serveData(q *request, path string) (*reply, *failure) {
	switch q.op {
	case read:
		return b.read(q, path)
	case create, update:
		data, ok := q.data["data"]
		if !ok {
			return nil, fail(http.StatusBadRequest, "no data provided")
		}
		if _, ok := data.(map[string]any); !ok && data != nil {
			return nil, fail(http.StatusBadRequest,
				"error converting input for field \"data\": '' expected a map, got '%s'", kindOf(data))
		}
		if options, ok := q.data["options"].(map[string]any); ok && !b.current(path, options["cas"]) {
			return nil, fail(http.StatusBadRequest, "check-and-set parameter did not match the current version")
		}
		text, err := marshal(data)
		if err != nil {
			return nil, fail(http.StatusInternalServerError, "%v", err)
		}
		number, v := b.write(path, version{data: text})
		return &reply{data: v.metadata(number, b.secrets[path].custom)}, nil
	case remove:
		if h := b.secrets[path]; h != nil {
			h.versions[len(h.versions)-1].delete(b.server.clock())
		}
		return nil, nil
	}
	return nil, unsupportedOperation()
}

func (b *kv2) read(q *request, path string) (*reply, *failure) {
	h := b.secrets[path]
	number := 0
	if asked := q.field("version"); asked != "" {
		n, err := strconv.Atoi(asked)
		if err != nil {
			return nil, fail(http.StatusBadRequest, "Field validation failed: error converting input for field "+
				"\"version\": cannot parse '' as int: strconv.ParseInt: parsing %q: invalid syntax", asked)
		}
		number = n
	}
	if h == nil || number > len(h.versions) {
		return nil, nil
	}
	if number <= 0 {
		number = len(h.versions)
	}
	v := h.versions[number-1]
	rep := &reply{data: map[string]any{"data": nil, "metadata": v.metadata(number, h.custom)}}
	if v.destroyed || v.isDeleted(b.server.clock()) {
		rep.status = http.StatusNotFound
		return rep, nil
	}
	text, err := v.text()
	if err != nil {
		return nil, failed(http.StatusInternalServerError, err.Error())
	}
	rep.data.(map[string]any)["data"] = text
	return rep, nil
}

// text returns the version's data as the engine hands it out.
func (v *version) text() (rawObject, error) {
	if v.verbatim {
		return v.data, nil
	}
	// The real engine reads what it stored into float64s: a long number comes
	// back rounded, 1.50 as 1.5.
	var data map[string]any
	if err := json.Unmarshal(v.data, &data); err != nil {
		return nil, err
	}
	return marshal(data)
}

// write adds a version and returns it with its number.
func (b *kv2) write(path string, v version) (int, *version) {
	v.created = b.server.clock()
	h := b.secrets[path]
	if h == nil {
		h = &history{}
		b.secrets[path] = h
	}
	h.versions = append(h.versions, &v)
	return len(h.versions), &v
}

// current reports whether cas, of a check-and-set, is the number of the newest
// version, or there is no cas.
func (b *kv2) current(path string, cas any) bool {
	if cas == nil {
		return true
	}
	number := 0
	if h := b.secrets[path]; h != nil {
		number = len(h.versions)
	}
	return numberOf(cas) == number
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
	for _, n := range numbers {
		i := numberOf(n) - 1
		if i < 0 || i >= len(h.versions) {
			continue
		}
		switch v := h.versions[i]; action {
		case "delete":
			v.delete(b.server.clock())
		case "undelete":
			if !v.destroyed {
				v.deleted = time.Time{}
			}
		case "destroy":
			v.destroyed, v.data = true, nil
		}
	}
	return nil
}

func (v *version) delete(now time.Time) {
	if !v.destroyed && !v.isDeleted(now) {
		v.deleted = now
	}
}

func (v *version) isDeleted(now time.Time) bool {
	return !v.deleted.IsZero() && !v.deleted.After(now)
}

// metadata is what stands beside the data of a version.
func (v *version) metadata(number int, custom map[string]any) map[string]any {
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
		versions := map[string]any{}
		for i, v := range h.versions {
			m := v.metadata(i+1, nil)
			delete(m, "version")
			delete(m, "custom_metadata")
			versions[strconv.Itoa(i+1)] = m
		}
		return &reply{data: map[string]any{
			"cas_required":         false,
			"created_time":         stamp(h.versions[0].created),
			"current_version":      len(h.versions),
			"custom_metadata":      h.custom,
			"delete_version_after": "0s",
			"max_versions":         0,
			"oldest_version":       0,
			"updated_time":         stamp(h.versions[len(h.versions)-1].created),
			"versions":             versions,
		}}, nil
	case update:
		h.custom, _ = q.data["custom_metadata"].(map[string]any)
		return nil, nil
	case remove:
		delete(b.secrets, path)
		return nil, nil
	}
	return nil, unsupportedOperation()
}

// stamp is the engine's way to write a time; none is "".
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
