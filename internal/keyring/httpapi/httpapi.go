// Package httpapi serves the key management API of the products: rotate the keys,
// list inactive keys, delete inactive keys.
package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring"
)

// The paths of the API.
const (
	RotatePath   = "/rest/secrets/1.0/keys/rotate"
	InactivePath = "/rest/secrets/1.0/keys/inactive"
)

// The values of "status" in a response.
const (
	statusRotated    = "ROTATED"
	statusInProgress = "IN_PROGRESS"
	statusBlocked    = "BLOCKED"
	statusFailed     = "FAILED"
)

// Keys is the keyring that the API manages. Its methods return ids of keys.
type Keys interface {
	Rotate(ctx context.Context) (to string, moved int, err error)
	Inactive(ctx context.Context) ([]string, error)
	DeleteInactive(ctx context.Context) ([]string, error)
}

// How long a client may occupy a connection, whatever the server's limits are.
const (
	responseTimeout = time.Minute     // for reading the response
	bodyTimeout     = 2 * time.Second // for sending a body, which the API ignores
)

// New returns the handler. authorize authenticates a request and returns the actor.
// If it is nil, every request is refused.
//
// The handler neither reads a request body nor waits for one. After a request with a
// body, and after a refused one, it closes the connection.
func New(keys Keys, authorize func(*http.Request) (string, error), log *slog.Logger) http.Handler {
	h := &handler{keys, authorize, log}
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		respond(w, http.StatusForbidden, message{"cross-origin request from a browser", statusFailed})
	}))
	return discardBodies(protection.Handler(h))
}

// discardBodies bounds how long the server waits for a request body. An HTTP/1
// server reads what the handler leaves of a body: before it sends the response if it
// keeps the connection, and after it in any case. An HTTP/2 server ends the stream.
func discardBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 || r.ProtoMajor != 1 {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Connection", "close")
		next.ServeHTTP(w, r)
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	})
}

type handler struct {
	keys      Keys
	authorize func(*http.Request) (string, error)
	log       *slog.Logger
}

// message is the JSON body of a response without keys.
type message struct {
	Message string `json:"message"`
	Status  string `json:"status"`
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	actor := h.actor(r)
	call, allowed := h.route(r.Method, r.URL.Path)
	switch {
	case actor == "":
		h.log.WarnContext(r.Context(), "key management: not authorized", "method", r.Method, "path",
			r.URL.Path, "from", r.RemoteAddr)
		w.Header().Set("WWW-Authenticate", `Bearer realm="secretref"`)
		w.Header().Set("Connection", "close") // HTTP/2 servers honor it, too
		respond(w, http.StatusUnauthorized, message{"not authorized", statusFailed})
	case allowed == "":
		respond(w, http.StatusNotFound, message{"there is nothing at this path", statusFailed})
	case call == nil:
		w.Header().Set("Allow", allowed)
		respond(w, http.StatusMethodNotAllowed, message{"method " + r.Method + " is not allowed here",
			statusFailed})
	default:
		h.serve(w, r, actor, call)
	}
}

// route returns the function for a method and path, or nil, and the methods that are
// allowed on the path.
func (h *handler) route(method, path string) (call func(context.Context) (any, error),
	allowed string) {
	switch path {
	case RotatePath:
		if method == http.MethodPost {
			call = h.rotate
		}
		return call, "POST"
	case InactivePath:
		switch method {
		case http.MethodGet, http.MethodHead:
			call = h.inactive
		case http.MethodDelete:
			call = h.deleteInactive
		}
		return call, "DELETE, GET, HEAD"
	}
	return nil, ""
}

// actor returns the actor of a request, or "" if the request is not authorized.
func (h *handler) actor(r *http.Request) string {
	if h.authorize == nil {
		return ""
	}
	actor, err := h.authorize(r)
	if err != nil {
		return ""
	}
	return actor
}

// serve executes a call and responds. Calls that change keys continue if the client
// disconnects, and may take longer than the write timeout of the server.
func (h *handler) serve(w http.ResponseWriter, r *http.Request, actor string,
	call func(context.Context) (any, error)) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	ctx := keyring.WithActor(r.Context(), actor)
	if r.Method == http.MethodPost || r.Method == http.MethodDelete {
		ctx = context.WithoutCancel(ctx)
	}
	body, err := call(ctx)
	switch {
	case err == nil:
		respond(w, http.StatusOK, body)
	case errors.Is(err, fault.RotationInProgress):
		respond(w, http.StatusNotAcceptable,
			message{"a rotation is in progress, or another change of the keys", statusInProgress})
	case errors.Is(err, fault.RotationBlocked):
		respond(w, http.StatusNotAcceptable, message{reason(err), statusBlocked})
	default:
		h.log.ErrorContext(r.Context(), "key management failed", "method", r.Method, "path", r.URL.Path,
			"actor", actor, "error", err.Error())
		respond(w, http.StatusInternalServerError, message{"internal error", statusFailed})
	}
}

// reason returns the text of an error without its source.
func reason(err error) string {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e.Text
	}
	return "the rotation is blocked"
}

func (h *handler) rotate(ctx context.Context) (any, error) {
	to, moved, err := h.keys.Rotate(ctx)
	if err != nil {
		return nil, err
	}
	return message{fmt.Sprintf("secrets re-encrypted: %d, under key %s", moved, to),
		statusRotated}, nil
}

func (h *handler) inactive(ctx context.Context) (any, error) {
	ids, err := h.keys.Inactive(ctx)
	return map[string][]string{"inactiveKeys": append([]string{}, ids...)}, err
}

func (h *handler) deleteInactive(ctx context.Context) (any, error) {
	ids, err := h.keys.DeleteInactive(ctx)
	return map[string][]string{"deletedKeys": append([]string{}, ids...)}, err
}

// respond sends a response and flushes it, so that its write deadline does not apply
// to a later request on the connection.
func respond(w http.ResponseWriter, status int, body any) {
	text, _ := json.Marshal(body) // only strings, which always have a JSON form
	text = append(text, '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	connection := http.NewResponseController(w)
	_ = connection.SetWriteDeadline(time.Now().Add(responseTimeout))
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client may have disconnected
	_ = connection.Flush()
	_ = connection.SetWriteDeadline(time.Time{})
}
