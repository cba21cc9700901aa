package fakevault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// An operation is what a request wants to do, and at the same time the
// capability that a policy has to grant for it.
type operation string

const (
	read   operation = "read"
	list   operation = "list"
	create operation = "create"
	update operation = "update"
	remove operation = "delete"

	// other is what no backend does, whatever the policies say: HEAD, OPTIONS.
	other operation = "other"
)

// A request is an HTTP request as the backends see it.
type request struct {
	ctx    context.Context
	op     operation
	path   string         // without /v1/; for a backend without its mount's path as well
	data   map[string]any // the body of a write, the query of anything else
	secret string         // the token as sent
	token  *token         // nil unless it is valid
}

// field returns the string of that name, or "" when there is none.
func (q *request) field(name string) string {
	text, _ := q.data[name].(string)
	return text
}

// A backend answers the requests below one mount.
type backend interface {
	handle(q *request) (*reply, *failure)
	// open reports whether the path may be used without a token.
	open(path string) bool
	// exists tells a write that updates from one that creates, for which a
	// policy has to grant another capability. Backends that do not tell the two
	// apart say true.
	exists(path string) bool
}

// serveAPI answers all below /v1/.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	// The open-source server knows no namespaces: it repeats the header and
	// reads from the only one there is.
	if namespace := r.Header.Get("X-Vault-Namespace"); namespace != "" {
		w.Header().Set("X-Vault-Namespace", namespace)
	}
	q, err := parseRequest(w, r)
	if err != nil {
		respond(w, read, nil, err)
		return
	}
	rep, err := s.route(q)
	respond(w, q.op, rep, err)
}

// maxBody is how much of a request's body Vault reads at most.
const maxBody = 32 << 20

func parseRequest(w http.ResponseWriter, r *http.Request) (*request, *failure) {
	q := &request{
		ctx:    r.Context(),
		path:   strings.TrimPrefix(r.URL.Path, "/v1/"),
		secret: tokenOf(r),
	}
	switch r.Method {
	case "GET", "LIST":
		q.op = read
		query := r.URL.Query()
		asked, err := strconv.ParseBool(query.Get("list"))
		if err != nil && query.Get("list") != "" {
			return nil, &failure{status: http.StatusBadRequest}
		}
		query.Del("list")
		if asked || r.Method == "LIST" {
			q.op = list
			if !strings.HasSuffix(q.path, "/") {
				q.path += "/"
			}
		}
		q.data = fromQuery(query)
	case "DELETE":
		q.op = remove
		q.data = fromQuery(r.URL.Query())
	case "PUT", "POST":
		q.op = update
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			return nil, fail(http.StatusRequestEntityTooLarge, "error parsing JSON: %v", err)
		}
		if name, found := duplicate(body); found {
			return nil, fail(http.StatusInternalServerError, "duplicate key '%s' in object", name)
		}
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.UseNumber()
		switch err := decoder.Decode(&q.data); {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, fail(http.StatusInternalServerError, "malformed JSON, unclosed containers")
		case err != nil && !errors.Is(err, io.EOF):
			return nil, fail(http.StatusBadRequest, "error parsing JSON: %v", err)
		}
	case "PATCH":
		const merge = "application/merge-patch+json"
		if kind := r.Header.Get("Content-Type"); kind != merge {
			return nil, fail(http.StatusUnsupportedMediaType, "PATCH requires Content-Type of %s, provided %s", merge, kind)
		}
		q.op = other
	case "HEAD", "OPTIONS":
		q.op = other
	default:
		return nil, &failure{status: http.StatusMethodNotAllowed}
	}
	return q, nil
}

func fromQuery(query url.Values) map[string]any {
	data := map[string]any{}
	for name, values := range query {
		data[name] = values[len(values)-1]
	}
	return data
}

// route checks the token, asks its policies and hands the request to the
// backend it is for.
func (s *Server) route(q *request) (*reply, *failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rep, err, ok := s.serveSeal(q); ok {
		return rep, err
	}
	if s.sealed {
		return nil, fail(http.StatusServiceUnavailable, "Vault is sealed")
	}

	prefix, m := s.mountAt(q.path)
	rest := q.path[min(len(prefix), len(q.path)):]
	free := m != nil && m.backend.open(rest)
	q.token = s.valid(q.secret)
	if !free {
		switch {
		case q.secret == "":
			return nil, fail(http.StatusForbidden, "permission denied")
		case q.token == nil:
			return nil, failed(http.StatusForbidden, "permission denied", "invalid token")
		}
		defer s.spend(q.token)()
		if q.op == update && m != nil && !m.backend.exists(rest) {
			q.op = create
		}
		if !s.aclOf(q.token).allows(q.op, q.path, m != nil && prefix == "sys/" && needsSudo(rest)) {
			return nil, denied()
		}
	}
	if m == nil {
		return nil, fail(http.StatusNotFound, "no handler for route %q. route entry not found.", q.path)
	}
	q.path = rest
	rep, err := m.backend.handle(q)
	if rep != nil && !free && rep.status == 0 {
		rep.mountType = m.kind
	}
	return rep, err
}

// mountAt returns the mount with the longest path that path lies below. A path
// that only lacks a mount's trailing slash lies there too.
func (s *Server) mountAt(path string) (string, *mount) {
	var best string
	for prefix := range s.mounts {
		if (strings.HasPrefix(path, prefix) || path+"/" == prefix) && len(prefix) > len(best) {
			best = prefix
		}
	}
	return best, s.mounts[best]
}
