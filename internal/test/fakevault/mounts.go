package fakevault

import (
	"fmt"
	"net/http"
	"strings"
)

// A mount is a backend and its entry in sys/mounts.
type mount struct {
	kind        string
	accessor    string
	uuid        string
	description string
	options     map[string]any
	backend     backend
}

func newMount(kind, accessor string, options map[string]any, b backend) *mount {
	return &mount{
		kind:     kind,
		accessor: accessor + "_" + newID()[:8],
		uuid:     newID(),
		options:  options,
		backend:  b,
	}
}

// newKVMount returns a KV engine. Only version "2" is versioned.
func newKVMount(s *Server, version string) *mount {
	options := map[string]any{}
	if version != "" {
		options["version"] = version
	}
	if version == "2" {
		return newMount("kv", "kv", options, &kv2{server: s, secrets: map[string]*history{}})
	}
	return newMount("kv", "kv", options, &kv1{secrets: map[string]rawObject{}})
}

// maxTTL, in seconds, is the maximum and default TTL of a token or a lease.
const maxTTL = 768 * 60 * 60

// describe returns the description of a mount, with the configured TTL of its leases.
func (m *mount) describe(ttl int) map[string]any {
	config := map[string]any{
		"default_lease_ttl": ttl,
		"max_lease_ttl":     ttl,
		"force_no_cache":    false,
	}
	if strings.HasPrefix(m.accessor, "auth_") {
		config["token_type"] = "default-service"
	}
	return map[string]any{
		"type":                    m.kind,
		"accessor":                m.accessor,
		"uuid":                    m.uuid,
		"description":             m.description,
		"options":                 m.options,
		"config":                  config,
		"local":                   false,
		"seal_wrap":               false,
		"external_entropy_access": false,
		"deprecation_status":      "supported",
		"plugin_version":          "",
		"running_plugin_version":  "v1.21.4+builtin.vault",
		"running_sha256":          "",
	}
}

// serveMounts serves sys/mounts and, for logins, sys/auth. table is the prefix of the
// mounts: "" or "auth/".
func (b *system) serveMounts(q *request, table, path string) (*reply, *failure) {
	if path == "" {
		if q.op != read {
			return nil, unsupportedOperation()
		}
		all := map[string]any{}
		for at, m := range b.mounts {
			if name, ok := strings.CutPrefix(at, table); ok &&
				strings.HasPrefix(at, "auth/") == (table != "") {
				all[name] = m.describe(0)
			}
		}
		return &reply{data: all, twice: true}, nil
	}

	if at, ok := strings.CutSuffix(path, "/tune"); ok {
		return nil, notImplemented("the tuning of the mount %s", at)
	}
	path = strings.Trim(path, "/") + "/"
	m := b.mounts[table+path]
	switch q.op {
	case read:
		if m == nil {
			engine := map[string]string{"": "secret engine mount", "auth/": "auth engine"}[table]
			return nil, fail(http.StatusBadRequest, "No %s at %s", engine, path)
		}
		return &reply{data: m.describe(0), twice: true}, nil
	case update, create:
		return nil, b.mount(q, table, path)
	case remove:
		if m != nil && (m.kind == "system" || m.kind == "token") {
			return nil, fail(http.StatusBadRequest, "cannot unmount %q", path)
		}
		delete(b.mounts, table+path)
		if table != "" {
			for _, t := range b.tokens {
				if strings.HasPrefix(t.path, table+path) && !t.batch {
					b.revoke(t)
				}
			}
		}
		return nil, nil
	}
	return nil, unsupportedOperation()
}

// mount creates the engine or login that q describes.
func (b *system) mount(q *request, table, path string) *failure {
	kind := q.field("type")
	if kind == "" {
		return fail(http.StatusBadRequest, "backend type must be specified as a string")
	}
	if at, taken := b.mountAt(table + path); taken != nil {
		return fail(http.StatusBadRequest, "path is already in use at %s", strings.TrimPrefix(at, table))
	}
	options, _ := q.data["options"].(map[string]any)
	var m *mount
	switch {
	case table == "" && (kind == "kv" || kind == "kv-v2"):
		version, _ := options["version"].(string)
		if kind == "kv-v2" {
			version = "2"
		}
		m = newKVMount(b.Server, version)
	case table != "" && kind == "kubernetes":
		m = newMount(kind, "auth_kubernetes", map[string]any{}, newKubernetes(b.Server, table+path))
	case table != "" && kind == "approle":
		m = newMount(kind, "auth_approle", map[string]any{}, newAppRole(b.Server, table+path))
	default:
		return fail(http.StatusBadRequest, "plugin not found in the catalog: %s", kind)
	}
	m.description = q.field("description")
	b.mounts[table+path] = m
	return nil
}

// serveUIMount serves sys/internal/ui/mounts/<path>, from which clients learn the version
// of a KV engine. It requires a token with any capability below the mount.
func (b *system) serveUIMount(q *request, path string) (*reply, *failure) {
	path = strings.Trim(path, "/") + "/"
	switch {
	case path == "/":
		return nil, fail(http.StatusBadRequest, "path not set")
	case q.secret == "":
		return nil, fail(http.StatusForbidden, "permission denied")
	case q.token == nil:
		return nil, failed(http.StatusForbidden, "permission denied", "invalid token")
	}
	at, m := b.mountAt(path)
	if m == nil || !b.aclOf(q.token).reaches(at) {
		return nil, &failure{http.StatusForbidden,
			[]string{fmt.Sprintf("preflight capability check returned 403, "+
				"please ensure client's policies grant access to path %q", path)}}
	}
	data := m.describe(maxTTL)
	data["path"] = strings.TrimPrefix(at, "auth/")
	return &reply{data: data}, nil
}
