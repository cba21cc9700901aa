package bench

import (
	"encoding/json"
	"fmt"
	"strings"
)

const mount = "secret"

// keys are the members of every secret.
var keys = []string{"username", "password", "host", "database"}

// reference leads to one key of a secret, which is a JSON document in AWS
// Secrets Manager or has the key in a Vault.
type reference struct {
	region      string // of AWS; empty: in a Vault
	server      int    // which Vault
	url         string // of that Vault
	secret, key string
}

// want is the answer to a reference.
func (r reference) want() string { return r.secret + "'s " + r.key }

// document is a secret as it is stored in AWS.
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

// name names the secret, and tells it from all others.
func (r reference) name() string { return r.region + " " + r.url + " " + r.secret }

// named is the reference without a key that has the name.
func named(name string) (r reference) {
	part := strings.Split(name, " ")
	r.region, r.url, r.secret = part[0], part[1], part[2]
	return r
}

// secretref is how this library writes it.
func (r reference) secretref() string {
	if r.region != "" {
		return fmt.Sprintf(`{ENC}{"region":%q,"secretId":%q,"secretPointer":%q}`, r.region, r.secret, "/"+r.key)
	}
	return fmt.Sprintf(`{ENC}{"mount":%q,"path":%q,"key":%q,"endpoint":%q}`, mount, r.secret, r.key, r.url)
}

// vals is how helmfile/vals writes it.
func (r reference) vals() string {
	if r.region != "" {
		return fmt.Sprintf("ref+awssecrets://%s?region=%s#/%s", r.secret, r.region, r.key)
	}
	return fmt.Sprintf("ref+vault://%s/%s?address=%s#/%s", mount, r.secret, r.url, r.key)
}

// references returns n references to n/share secrets in turn, each in one of
// the places, and stores the secrets.
func (w *world) references(n, share int, places ...reference) []reference {
	refs := make([]reference, n)
	for i := range refs {
		secret := i / share
		r := places[secret%len(places)]
		if r.region == "" {
			r.url = w.vault[r.server].URL()
		}
		r.secret, r.key = fmt.Sprintf("app-%04d", secret), keys[i%len(keys)]
		refs[i] = r
	}
	w.store(refs)
	return refs
}
