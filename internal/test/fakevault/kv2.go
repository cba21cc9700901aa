package fakevault

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// kv2 is the versioned key/value engine.
type kv2 struct {
	server   *Server
	secrets  map[string]*history
	settings settings
}

// settings are those of a mount or of one secret.
type settings struct {
	maxVersions int // 0 for the default
	casRequired bool
	deleteAfter time.Duration // 0 for never; below 0 on a mount overrides that of the secret
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

// An author is the client that changed a secret.
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

func (b *kv2) exists(path string) (exists, known bool) {
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
			with(unsupported, "exclude_deleted").with(inPath, "path")
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

// misdirected is the reply to a path that the engine does not have, such as one without
// "data/".
func misdirected(warning string) *reply {
	return &reply{status: http.StatusNotFound, warnings: []string{warning}}
}

// serveConfig serves config, the settings of the mount.
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

// update applies the settings in q.
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

// serveMetadata serves metadata/<path>, at which a secret can be removed completely.
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
		return nil, notImplemented("PATCH of metadata")
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

// writeMetadata applies the metadata in q. It creates the secret if necessary.
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

// stamp formats a time as the engine does. A zero time is "".
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
