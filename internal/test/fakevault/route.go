package fakevault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// An operation is the kind of a request, and the capability that a policy must grant for
// it.
type operation string

const (
	read   operation = "read"
	list   operation = "list"
	create operation = "create"
	update operation = "update"
	remove operation = "delete"
	patch  operation = "patch"

	// other is an operation that no backend supports: HEAD, OPTIONS.
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
	// exists distinguishes an update from a creation, which needs another capability.
	// known is false for paths without this distinction.
	exists(path string) (exists, known bool)
	// parameters are those of the path.
	parameters(path string) parameters
}

// serveAPI serves the paths below /v1/.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	// The open-source server has no namespaces: it repeats the header and ignores it.
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

// maxBody is the maximum size of a request's body.
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
		if err := q.readBody(w, r); err != nil {
			return nil, err
		}
	case "PATCH":
		q.op = patch
		const merge = "application/merge-patch+json"
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil {
			return nil, fail(http.StatusBadRequest, "%v", err)
		}
		if kind != merge {
			return nil, fail(http.StatusUnsupportedMediaType,
				"PATCH requires Content-Type of %s, provided %s", merge, kind)
		}
		if err := q.readBody(w, r); err != nil {
			if err.status == http.StatusBadRequest {
				err = fail(http.StatusBadRequest, "error parsing JSON")
			}
			return nil, err
		}
	case "HEAD", "OPTIONS":
		q.op = other
	default:
		return nil, &failure{status: http.StatusMethodNotAllowed}
	}
	if r.Header.Get("X-Vault-Wrap-TTL") != "" {
		return nil, notImplemented("response wrapping, which X-Vault-Wrap-TTL asks for")
	}
	return q, nil
}

// readBody reads the parameters of a write from its body, which is JSON or a
// form.
func (q *request) readBody(w http.ResponseWriter, r *http.Request) *failure {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return fail(http.StatusRequestEntityTooLarge,
			"error parsing JSON: failed to parse JSON input: %v", err)
	}
	start := bytes.TrimLeft(body, " \t\r\n")
	looksLikeJSON := len(start) == 0 || start[0] == '{' || start[0] == '['
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && kind == "application/x-www-form-urlencoded" && !looksLikeJSON {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return fail(http.StatusBadRequest, "error parsing form data")
		}
		q.data = map[string]any{}
		for name, values := range form {
			q.data[name] = strings.Join(values, ",")
		}
		return nil
	}

	if name, found := duplicate(body); found {
		return fail(http.StatusInternalServerError, "duplicate key '%s' in object", name)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	switch err := decoder.Decode(&q.data); {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fail(http.StatusInternalServerError, "malformed JSON, unclosed containers")
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fail(http.StatusBadRequest, "error parsing JSON: failed to parse JSON input: %v", err)
	}
	rest := bytes.TrimLeft(body[decoder.InputOffset():], " \t\r\n")
	if len(rest) > 0 {
		return fail(http.StatusInternalServerError, "invalid character '%c' after top-level value",
			rest[0])
	}
	return nil
}

func fromQuery(query url.Values) map[string]any {
	data := map[string]any{}
	for name, values := range query {
		data[name] = values[len(values)-1]
	}
	return data
}

// route checks the token and its policies, and passes the request to its backend.
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
		if q.op == update && m != nil {
			exists, known := m.backend.exists(rest)
			if known {
				// In this case Vault checks the parameters before the policies.
				if err := m.backend.parameters(rest).convert(q.data); err != nil {
					return nil, fail(http.StatusBadRequest, "%v", err)
				}
			}
			if known && !exists {
				q.op = create
			}
		}
		if !s.aclOf(q.token).allows(q.op, q.path, needsSudo(q.path)) {
			return nil, denied()
		}
	}
	if m == nil {
		for _, builtin := range []string{"cubbyhole/", "identity/"} {
			if strings.HasPrefix(q.path, builtin) {
				return nil, notImplemented("%s", builtin)
			}
		}
		return nil, fail(http.StatusNotFound, "no handler for route %q. route entry not found.", q.path)
	}
	q.path = rest
	known := m.backend.parameters(rest)
	if err := known.convert(q.data); err != nil {
		return nil, fail(http.StatusBadRequest, "Field validation failed: %v", err)
	}
	if err := known.refuse(q.data); err != nil {
		return nil, err
	}
	rep, err := m.backend.handle(q)
	if rep != nil && rep.status == 0 {
		rep.warnings = append(rep.warnings, known.warnings(q.data)...)
		if !free {
			rep.mountType = m.kind
		}
	}
	return rep, err
}

// mountAt returns the mount with the longest path that is a prefix of path. A path that
// only lacks a mount's trailing slash belongs to it, too.
func (s *Server) mountAt(path string) (string, *mount) {
	var best string
	for prefix := range s.mounts {
		if (strings.HasPrefix(path, prefix) || path+"/" == prefix) && len(prefix) > len(best) {
			best = prefix
		}
	}
	return best, s.mounts[best]
}
