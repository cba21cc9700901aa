// Package keysapi serves the key management API that the products have: rotate,
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

// The paths.
const (
	RotatePath   = "/rest/secrets/1.0/keys/rotate"
	InactivePath = "/rest/secrets/1.0/keys/inactive"
)

// The values of status.
const (
	rotated    = "ROTATED"
	inProgress = "IN_PROGRESS"
	blocked    = "BLOCKED"
	failed     = "FAILED"
)

// Keys is what the API manages. The names of keys come back.
type Keys interface {
	Rotate(ctx context.Context) (to string, moved int, err error)
	Inactive(ctx context.Context) ([]string, error)
	DeleteInactive(ctx context.Context) ([]string, error)
}

// How long a client may hold a connection, whatever the server allows.
const (
	answerTimeout = time.Minute     // to read the answer
	bodyTimeout   = 2 * time.Second // to send a body, which the API has no use for
)

// New returns the handler. authorize says who asks; nil lets nobody in.
//
// The handler never reads a body, and does not wait for one. A connection over
// which a request came that has a body, or that was refused, is closed after the
// answer.
func New(keys Keys, authorize func(*http.Request) (string, error), log *slog.Logger) http.Handler {
	a := &api{keys, authorize, log}
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusForbidden, state{"a browser sent this for another site", failed})
	}))
	return discardBodies(protection.Handler(a))
}

// discardBodies bounds the wait for a body. HTTP/1 servers read what a handler
// leaves of one: before they send the answer if the connection is to be kept, and
// after it in any case. HTTP/2 servers end the stream.
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

type api struct {
	keys      Keys
	authorize func(*http.Request) (string, error)
	log       *slog.Logger
}

type state struct {
	Message string `json:"message"`
	Status  string `json:"status"`
}

// ServeHTTP implements http.Handler.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	actor := a.actor(r)
	do, allowed := a.find(r.Method, r.URL.Path)
	switch {
	case actor == "":
		a.log.WarnContext(r.Context(), "key management: not authorized", "method", r.Method, "path", r.URL.Path, "from", r.RemoteAddr)
		w.Header().Set("WWW-Authenticate", `Bearer realm="secretref"`)
		w.Header().Set("Connection", "close") // HTTP/2 servers understand it, too
		answer(w, http.StatusUnauthorized, state{"not authorized", failed})
	case allowed == "":
		answer(w, http.StatusNotFound, state{"there is nothing at this path", failed})
	case do == nil:
		w.Header().Set("Allow", allowed)
		answer(w, http.StatusMethodNotAllowed, state{"the method " + r.Method + " is not allowed here", failed})
	default:
		a.serve(w, r, actor, do)
	}
}

// find returns what a request asks for, or nil, and the methods that the path
// has.
func (a *api) find(method, path string) (do func(context.Context) (any, error), allowed string) {
	switch path {
	case RotatePath:
		if method == http.MethodPost {
			do = a.rotate
		}
		return do, "POST"
	case InactivePath:
		switch method {
		case http.MethodGet, http.MethodHead:
			do = a.inactive
		case http.MethodDelete:
			do = a.deleteInactive
		}
		return do, "DELETE, GET, HEAD"
	}
	return nil, ""
}

// actor returns who asks, or "" for nobody that is let in.
func (a *api) actor(r *http.Request) string {
	if a.authorize == nil {
		return ""
	}
	actor, err := a.authorize(r)
	if err != nil {
		return ""
	}
	return actor
}

// serve does what was asked. What changes keys goes on to its end, also if the
// client goes away, and for longer than the server would wait for an answer.
func (a *api) serve(w http.ResponseWriter, r *http.Request, actor string, do func(context.Context) (any, error)) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	ctx := keyring.WithActor(r.Context(), actor)
	if r.Method == http.MethodPost || r.Method == http.MethodDelete {
		ctx = context.WithoutCancel(ctx)
	}
	body, err := do(ctx)
	switch {
	case err == nil:
		answer(w, http.StatusOK, body)
	case errors.Is(err, fault.RotationInProgress):
		answer(w, http.StatusNotAcceptable, state{"a rotation is in progress, or another change of the keys", inProgress})
	case errors.Is(err, fault.RotationBlocked):
		answer(w, http.StatusNotAcceptable, state{reason(err), blocked})
	default:
		a.log.ErrorContext(r.Context(), "key management failed", "method", r.Method, "path", r.URL.Path, "actor", actor, "error", err.Error())
		answer(w, http.StatusInternalServerError, state{"internal error", failed})
	}
}

// reason returns what an error says, without where.
func reason(err error) string {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e.Text
	}
	return "the rotation is blocked"
}

func (a *api) rotate(ctx context.Context) (any, error) {
	to, moved, err := a.keys.Rotate(ctx)
	if err != nil {
		return nil, err
	}
	return state{fmt.Sprintf("secrets sealed anew: %d, with the key %s", moved, to), rotated}, nil
}

func (a *api) inactive(ctx context.Context) (any, error) {
	names, err := a.keys.Inactive(ctx)
	return map[string][]string{"inactiveKeys": append([]string{}, names...)}, err
}

func (a *api) deleteInactive(ctx context.Context) (any, error) {
	names, err := a.keys.DeleteInactive(ctx)
	return map[string][]string{"deletedKeys": append([]string{}, names...)}, err
}

// answer sends an answer to its end, so that its deadline is not that of a later
// request over the same connection.
func answer(w http.ResponseWriter, status int, body any) {
	text, _ := json.Marshal(body) // strings, which have a JSON form
	text = append(text, '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	connection := http.NewResponseController(w)
	_ = connection.SetWriteDeadline(time.Now().Add(answerTimeout))
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client may be gone
	_ = connection.Flush()
	_ = connection.SetWriteDeadline(time.Time{})
}
