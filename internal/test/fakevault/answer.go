package fakevault

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
)

// A reply is the result of a backend: data or a login. A nil reply means 204 after a write
// and 404 after a read.
type reply struct {
	status   int // zero: 200
	data     any
	auth     *auth
	warnings []string
	lease    int // seconds after which to read again, when the engine says so

	// bare is a body that is sent without the envelope.
	bare any
	// empty means a response without a body.
	empty bool
	// twice repeats the members of data next to those of the envelope, as sys/ does for
	// old clients.
	twice bool
	// mountType is set by the router, except where Vault leaves it empty: in
	// answers to requests that need no token, and in those with a status of
	// their own.
	mountType string
}

// auth is the part of a reply that contains a token.
type auth struct {
	ClientToken    string            `json:"client_token"`
	Accessor       string            `json:"accessor"`
	Policies       []string          `json:"policies"`
	TokenPolicies  []string          `json:"token_policies,omitempty"`
	Metadata       map[string]string `json:"metadata"`
	LeaseDuration  int               `json:"lease_duration"`
	Renewable      bool              `json:"renewable"`
	EntityID       string            `json:"entity_id"`
	TokenType      string            `json:"token_type"`
	Orphan         bool              `json:"orphan"`
	MFARequirement any               `json:"mfa_requirement"`
	NumUses        int               `json:"num_uses"`
}

// envelope contains the data of nearly every response.
type envelope struct {
	RequestID     string   `json:"request_id"`
	LeaseID       string   `json:"lease_id"`
	Renewable     bool     `json:"renewable"`
	LeaseDuration int      `json:"lease_duration"`
	Data          any      `json:"data"`
	WrapInfo      any      `json:"wrap_info"`
	Warnings      []string `json:"warnings"`
	Auth          *auth    `json:"auth"`
	MountType     string   `json:"mount_type"`
}

type errorBody struct {
	Errors []string `json:"errors"`
}

// A failure is a response without data.
type failure struct {
	status int
	errors []string
}

func fail(status int, format string, args ...any) *failure {
	return &failure{status, []string{fmt.Sprintf(format, args...)}}
}

// failed is like fail, in the format that Vault's core uses for errors of its backends.
func failed(status int, causes ...string) *failure {
	return &failure{status, []string{listed(causes)}}
}

// listed formats a list of errors as Vault does.
func listed(causes []string) string {
	text := "1 error occurred:\n"
	if len(causes) != 1 {
		text = fmt.Sprintf("%d errors occurred:\n", len(causes))
	}
	for _, cause := range causes {
		text += "\t* " + cause + "\n"
	}
	return text + "\n"
}

func denied() *failure { return failed(http.StatusForbidden, "permission denied") }

// The responses to unsupported paths and operations, for a request with a token.
func unsupportedPath() *failure { return failed(http.StatusNotFound, "unsupported path") }

func unsupportedOperation() *failure {
	return failed(http.StatusMethodNotAllowed, "unsupported operation")
}

func (f *failure) Error() string { return fmt.Sprint(f.status, f.errors) }

// respond writes the response of a backend.
func respond(w http.ResponseWriter, op operation, rep *reply, err *failure) {
	switch {
	case err != nil:
		if err.errors == nil {
			err.errors = []string{}
		}
		writeJSON(w, err.status, errorBody{err.errors})
	case rep == nil && (op == read || op == list):
		writeJSON(w, http.StatusNotFound, errorBody{[]string{}})
	case rep == nil:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNoContent)
	case rep.empty:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(rep.status)
	case rep.bare != nil:
		writeJSON(w, rep.status, rep.bare)
	default:
		writeJSON(w, rep.status, rep.body())
	}
}

// body puts the envelope around a reply's data.
func (r *reply) body() any {
	e := envelope{
		RequestID:     newID(),
		LeaseDuration: r.lease,
		Data:          r.data,
		Warnings:      r.warnings,
		Auth:          r.auth,
		MountType:     r.mountType,
	}
	members, ok := r.data.(map[string]any)
	if !r.twice || !ok {
		return e
	}
	both := map[string]any{}
	for name, value := range members {
		both[name] = value
	}
	text, err := json.Marshal(e)
	if err == nil {
		err = json.Unmarshal(text, &both)
	}
	if err != nil {
		panic(fmt.Sprintf("fakevault: %v", err))
	}
	both["data"] = r.data
	return both
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	if status == 0 {
		status = http.StatusOK
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client may have disconnected.
	_ = json.NewEncoder(w).Encode(body)
}

// newID returns a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
