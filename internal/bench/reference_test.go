package bench

import (
	"encoding/json"
	"fmt"
	"strings"
)

const mount = "secret"

// keys are the members of every secret.
var keys = []string{"username", "password", "host", "database"}

// reference refers to a member of a JSON document in AWS Secrets Manager or to a key in a Vault.
type reference struct {
	region      string // of AWS; empty for Vault
	server      int    // index of the Vault
	url         string // of that Vault
	secret, key string
}

// want returns the value that the reference must resolve to.
func (r reference) want() string { return r.secret + "'s " + r.key }

// document returns the secret as it is stored in AWS.
func (r reference) document() string {
	members := map[string]string{}
	for _, key := range keys {
		members[key] = reference{secret: r.secret, key: key}.want()
	}
	text, err := json.Marshal(members)
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(text)
}

// name returns a unique name of the secret.
func (r reference) name() string { return r.region + " " + r.url + " " + r.secret }

// parseName returns the reference, without a key, of the secret with this name.
func parseName(name string) (r reference) {
	part := strings.Split(name, " ")
	r.region, r.url, r.secret = part[0], part[1], part[2]
	return r
}

// secretref returns the reference in the syntax of this library.
func (r reference) secretref() string {
	if r.region != "" {
		return fmt.Sprintf(`{ENC}{"region":%q,"secretId":%q,"secretPointer":%q}`, r.region, r.secret,
			"/"+r.key)
	}
	return fmt.Sprintf(`{ENC}{"mount":%q,"path":%q,"key":%q,"endpoint":%q}`, mount, r.secret,
		r.key, r.url)
}

// vals returns the reference in the syntax of helmfile/vals.
func (r reference) vals() string {
	if r.region != "" {
		return fmt.Sprintf("ref+awssecrets://%s?region=%s#/%s", r.secret, r.region, r.key)
	}
	return fmt.Sprintf("ref+vault://%s/%s?address=%s#/%s", mount, r.secret, r.url, r.key)
}

// references returns n references to n/share secrets, distributed over the backends in turn, and
// stores the secrets.
func (w *world) references(n, share int, backends ...reference) []reference {
	refs := make([]reference, n)
	for i := range refs {
		secret := i / share
		r := backends[secret%len(backends)]
		if r.region == "" {
			r.url = w.vault[r.server].URL()
		}
		r.secret, r.key = fmt.Sprintf("app-%04d", secret), keys[i%len(keys)]
		refs[i] = r
	}
	w.store(refs)
	return refs
}
