package secretref

import "github.com/seed74218947/secretref/internal/coord"

// A KeyringReference names a secret that is stored in a keyring.
type KeyringReference struct {
	// Name is the name of the stored secret, 1 to 1024 bytes of UTF-8. Required.
	Name string
}

// String returns the canonical form, which [Parse] takes back.
func (r KeyringReference) String() string { return r.coord().String() }

func (KeyringReference) reference() {}

func (r KeyringReference) coord() coord.Reference {
	return coord.Reference{Kind: coord.Keyring, Name: r.Name}
}
