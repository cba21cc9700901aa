package secretref

import (
	"context"
	"net/http"

	"github.com/seed74218947/secretref/internal/keyring/httpapi"
)

// Handler serves the key management API that the products have:
//
//	POST   /rest/secrets/1.0/keys/rotate
//	GET    /rest/secrets/1.0/keys/inactive
//	DELETE /rest/secrets/1.0/keys/inactive
//
// authorize returns who asks, for the audit log; if it is nil, returns an error
// or an empty actor, the answer is 401, and its error is not logged, since it may
// quote what the client sent. A rotation goes on when its client goes
// away, until Close. See the README for the answers.
func (k *Keyring) Handler(authorize func(*http.Request) (actor string, err error)) http.Handler {
	return httpapi.New(keysAPI{k}, authorize, k.open().log)
}

// keysAPI is a Keyring as the API sees it.
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
