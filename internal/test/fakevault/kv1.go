package fakevault

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// rawObject is the text of a JSON object.
type rawObject = json.RawMessage

// kv1 is the key/value engine with one version. It stores the text of numbers.
type kv1 struct{ secrets map[string]rawObject }

func (b *kv1) open(string) bool { return false }

func (b *kv1) exists(path string) (exists, known bool) { return b.secrets[path] != nil, true }

func (b *kv1) parameters(string) parameters { return nil }

func (b *kv1) handle(q *request) (*reply, *failure) {
	switch q.op {
	case read:
		text, ok := b.secrets[q.path]
		if !ok {
			return nil, nil
		}
		return &reply{data: text, lease: leaseOf(text)}, nil
	case create, update:
		if q.path == "" {
			return nil, fail(http.StatusBadRequest, "missing path")
		}
		if len(q.data) == 0 {
			return nil, fail(http.StatusBadRequest, "missing data fields")
		}
		text, err := marshal(q.data)
		if err != nil {
			return nil, fail(http.StatusInternalServerError, "%v", err)
		}
		b.secrets[q.path] = text
		return nil, nil
	case remove:
		delete(b.secrets, q.path)
		return nil, nil
	case list:
		return keysBelow(q.path, b.secrets), nil
	}
	return nil, unsupportedOperation()
}

// leaseOf returns the lease of a secret in seconds, from its "ttl".
func leaseOf(secret rawObject) int {
	var own struct {
		TTL string `json:"ttl"`
	}
	if json.Unmarshal(secret, &own) == nil {
		if ttl, err := time.ParseDuration(own.TTL); err == nil {
			return int(ttl / time.Second)
		}
	}
	return maxTTL
}

// keysBelow lists the names directly below the folder, which ends in a slash
// or is empty. Folders in it end in a slash.
func keysBelow[T any](folder string, secrets map[string]T) *reply {
	var keys []string
	for path := range secrets {
		rest, ok := strings.CutPrefix(path, folder)
		if !ok || rest == "" {
			continue
		}
		name, _, isFolder := strings.Cut(rest, "/")
		if isFolder {
			name += "/"
		}
		keys = append(keys, name)
	}
	if len(keys) == 0 {
		return nil
	}
	slices.Sort(keys)
	return &reply{data: map[string]any{"keys": slices.Compact(keys)}}
}
