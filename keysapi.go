package secretref

import (
	"context"
	"net/http"

	"github.com/seed74218947/secretref/internal/keyring/httpapi"
)

// Handler returns a handler for the key management API of the products:
//
//	POST   /rest/secrets/1.0/keys/rotate
//	GET    /rest/secrets/1.0/keys/inactive
//	DELETE /rest/secrets/1.0/keys/inactive
//
// authorize authenticates the caller and returns its name, which the audit log records
// as the actor. If authorize is nil, or returns an error or an empty name, the response
// is 401; the error is not logged, because it may quote the request.
//
// A rotation continues if its client disconnects, until Close. docs/keyring.md
// describes the responses.
func (k *Keyring) Handler(authorize func(*http.Request) (actor string, err error)) http.Handler {
	return httpapi.New(keysAPI{k}, authorize, k.open().log)
}

// keysAPI adapts a Keyring to the handler.
type keysAPI struct{ k *Keyring }

func (m keysAPI) Rotate(ctx context.Context) (to string, moved int, err error) {
	r, err := m.k.Rotate(ctx)
	return r.To, r.Moved, err
}

func (m keysAPI) Inactive(ctx context.Context) ([]string, error) {
	keys, err := m.k.Inactive(ctx)
	return keyIDs(keys), err
}

func (m keysAPI) DeleteInactive(ctx context.Context) ([]string, error) {
	keys, err := m.k.DeleteInactive(ctx)
	return keyIDs(keys), err
}

func keyIDs(keys []KeyInfo) []string {
	var ids []string
	for _, key := range keys {
		ids = append(ids, key.ID)
	}
	return ids
}
