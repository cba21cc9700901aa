package fakevault

import (
	"encoding/json"
	"maps"
	"net/http"
)

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

// patch adds a version: the newest one with the merge patch in q applied
// (https://datatracker.ietf.org/doc/html/rfc7386).
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

// read serves a read of a version: of its data, or of its subkeys, which are the data
// without the values.
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

// content decodes the data of the version as Vault does: numbers become float64s, so that
// a long one is rounded and 1.50 is returned as 1.5.
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
