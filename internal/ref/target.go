package ref

// Target identifies what one fetch returns. References with equal targets are
// resolved by the same document.
type Target struct {
	Kind              Kind
	Endpoint          string
	Region, Secret    string // AWS
	Auth, Mount, Path string // Vault
	Name              string // Keyring
	Class, Text       string // Custom, CipherFile
	Dir               string // CipherFile
}

// Target returns what has to be fetched for r.
func (r Reference) Target() Target {
	if !r.Kind.hasFields() {
		return Target{Kind: r.Kind, Class: r.Class, Text: r.Text, Dir: r.Dir}
	}
	t := backends[r.Kind].target(r)
	t.Kind = r.Kind
	return t
}

// Fields returns every field of t in a fixed order, for a digest of t.
func (t Target) Fields() []string {
	return []string{t.Kind.String(), t.Endpoint, t.Region, t.Secret, t.Auth, t.Mount, t.Path, t.Name,
		t.Class, t.Text, t.Dir}
}

// Reference returns the text of a reference to everything that t fetches, for
// messages.
func (t Target) Reference() string {
	if !t.Kind.hasFields() {
		return ""
	}
	r := backends[t.Kind].whole(t)
	r.Kind = t.Kind
	return r.String()
}
