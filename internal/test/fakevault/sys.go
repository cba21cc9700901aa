package fakevault

import (
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// system is the backend at sys/.
type system struct{ *Server }

func (b *system) open(path string) bool {
	return strings.HasPrefix(path, "internal/ui/mounts/")
}

func (b *system) exists(string) (exists, known bool) { return true, false }

func (b *system) parameters(path string) parameters {
	at := func(folder string) bool { return strings.HasPrefix(path, folder) && path != folder }
	switch {
	case at("mounts/"), at("auth/"):
		return none.with(inPath, "path").with(plain, "type", "description").with(object, "options").
			with(unsupported, "config", "local", "seal_wrap", "external_entropy_access", "plugin_name",
				"plugin_version")
	case at("policies/acl/"):
		return none.with(inPath, "name").with(plain, "policy")
	case path == "capabilities-self":
		return none.with(plain, "path", "paths", "token")
	case at("internal/ui/mounts/"):
		return none.with(inPath, "path")
	}
	return none
}

// needsSudo reports whether a path requires the capability sudo in addition to that of the
// operation.
func needsSudo(path string) bool {
	return path == "sys/seal" || path == "sys/auth" || strings.HasPrefix(path, "sys/auth/") ||
		path == "auth/token/revoke-orphan" || strings.HasPrefix(path, "auth/token/accessors")
}

// unsupportedPaths are the paths below sys/ that the fake does not implement.
var unsupportedPaths = []string{
	"audit", "capabilities", "capabilities-accessor", "config", "control-group", "generate-root",
	"ha-status",
	"host-info", "init", "internal", "key-status", "leases", "license", "loggers", "metrics",
	"monitor", "namespaces",
	"plugins", "policies", "policy", "pprof", "quotas", "raw", "rekey", "remount", "renew",
	"replication", "revoke",
	"rotate", "step-down", "storage", "tools", "version-history", "wrapping",
}

func (b *system) handle(q *request) (*reply, *failure) {
	path := strings.TrimSuffix(q.path, "/")
	if rest, ok := strings.CutPrefix(path, "internal/ui/mounts/"); ok && q.op == read {
		return b.serveUIMount(q, rest)
	}
	name, rest, _ := strings.Cut(path, "/")
	switch {
	case name == "mounts":
		return b.serveMounts(q, "", rest)
	case name == "auth":
		return b.serveMounts(q, "auth/", rest)
	case path == "policies/acl" || strings.HasPrefix(path, "policies/acl/"):
		return b.servePolicy(q, strings.TrimPrefix(rest, "acl"))
	case path == "capabilities-self" && q.op == update:
		return b.serveCapabilities(q)
	case path == "seal" && q.op == update:
		b.sealed = true
		return nil, nil
	case slices.Contains(unsupportedPaths, name):
		return nil, notImplemented("sys/%s", path)
	}
	return nil, unsupportedPath()
}

// servePolicy serves sys/policies/acl and the paths below it.
func (b *system) servePolicy(q *request, name string) (*reply, *failure) {
	name = strings.ToLower(strings.TrimPrefix(name, "/"))
	switch q.op {
	case list:
		names := append(slices.Collect(maps.Keys(b.policies)), "root")
		slices.Sort(names)
		return &reply{data: map[string]any{"keys": names}}, nil
	case read:
		if p := b.policies[name]; p != nil {
			return &reply{data: map[string]any{"name": name, "policy": p.text}}, nil
		}
		return nil, nil
	case update, create:
		if name == "root" {
			return nil, fail(http.StatusBadRequest, `cannot update "root" policy`)
		}
		text := q.field("policy")
		if text == "" {
			return nil, fail(http.StatusBadRequest, "'policy' parameter not supplied or empty")
		}
		if decoded, err := base64.StdEncoding.DecodeString(text); err == nil {
			text = string(decoded)
		}
		p, err := parsePolicy(text)
		if refused := (*failure)(nil); errors.As(err, &refused) {
			return nil, refused
		}
		if err != nil {
			return nil, fail(http.StatusBadRequest, "failed to parse policy: %v", err)
		}
		b.policies[name] = p
		return nil, nil
	case remove:
		if name == "root" || name == "default" {
			return nil, fail(http.StatusBadRequest, "cannot delete %s policy", name)
		}
		delete(b.policies, name)
		return nil, nil
	}
	return nil, unsupportedOperation()
}

// serveCapabilities returns the capabilities of the request's token for some paths.
func (b *system) serveCapabilities(q *request) (*reply, *failure) {
	paths := stringsOf(q.data["paths"])
	if path := q.field("path"); path != "" {
		paths = append(paths, path)
	}
	if len(paths) == 0 {
		return nil, fail(http.StatusBadRequest, "paths must be supplied")
	}
	data := map[string]any{}
	for _, path := range paths {
		data[path] = b.aclOf(q.token).capabilities(path)
	}
	if len(paths) == 1 {
		data["capabilities"] = data[paths[0]]
	}
	return &reply{data: data, twice: true}, nil
}

// serveSeal serves the requests that a sealed server accepts, without a token. The last
// result is false for all other requests.
func (s *Server) serveSeal(q *request) (*reply, *failure, bool) {
	switch q.path {
	case "sys/health":
		status := http.StatusOK
		if s.sealed {
			status = http.StatusServiceUnavailable
		}
		return &reply{status: status, bare: s.health()}, nil, true
	case "sys/seal-status":
		return &reply{bare: s.sealStatus()}, nil, true
	case "sys/leader":
		if q.op != read {
			return nil, &failure{status: http.StatusMethodNotAllowed}, true
		}
		return &reply{bare: map[string]any{
			"ha_enabled": false, "is_self": false, "active_time": "0001-01-01T00:00:00Z",
			"leader_address":         "",
			"leader_cluster_address": "", "performance_standby": false,
			"performance_standby_last_remote_wal": 0,
		}}, nil, true
	case "sys/unseal":
		rep, err := s.serveUnseal(q)
		return rep, err, true
	case "sys/seal":
		// Sealing a sealed server succeeds, since it cannot check the token.
		return nil, nil, s.sealed
	}
	return nil, nil, false
}

func (s *Server) serveUnseal(q *request) (*reply, *failure) {
	if q.op != update {
		return nil, &failure{status: http.StatusMethodNotAllowed}
	}
	key, err := base64.StdEncoding.DecodeString(q.field("key"))
	switch {
	case q.field("key") == "":
		return nil, fail(http.StatusBadRequest,
			"'key' must be specified in request body as JSON, or 'reset' set to true")
	case err != nil:
		return nil, fail(http.StatusBadRequest, "'key' must be a valid hex or base64 string")
	case len(key) < 16:
		return nil, fail(http.StatusBadRequest, "invalid key: key is shorter than minimum 16 bytes")
	case q.field("key") != s.unsealKey:
		return nil, fail(http.StatusBadRequest,
			"unable to retrieve stored keys: invalid key: failed to decrypt keys "+
				"from storage: error decrypting seal wrapped value\nerror decrypting using seal shamir: cipher: message "+
				"authentication failed")
	}
	s.sealed = false
	return &reply{bare: s.sealStatus()}, nil
}

func (s *Server) sealStatus() map[string]any {
	status := map[string]any{
		"type": "shamir", "initialized": true, "sealed": s.sealed, "t": 1, "n": 1, "progress": 0,
		"nonce":   "",
		"version": "1.21.4", "build_date": "2026-03-04T17:40:05Z", "migration": false,
		"recovery_seal": false,
	}
	if !s.sealed {
		status["cluster_name"], status["cluster_id"] = clusterName, clusterID
	}
	return status
}

func (s *Server) health() map[string]any {
	replication := "disabled"
	if s.sealed {
		replication = "unknown"
	}
	health := map[string]any{
		"initialized": true, "sealed": s.sealed, "standby": s.sealed, "performance_standby": false,
		"replication_performance_mode": replication, "replication_dr_mode": replication,
		"server_time_utc": s.clock().Unix(), "version": "1.21.4", "enterprise": false,
		"echo_duration_ms": 0, "clock_skew_ms": 0, "replication_primary_canary_age_ms": 0,
	}
	if !s.sealed {
		health["cluster_name"], health["cluster_id"] = clusterName, clusterID
	}
	return health
}

const (
	clusterName = "vault-cluster-fake"
	clusterID   = "00000000-0000-4000-8000-000000000000"
)
