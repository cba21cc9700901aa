package ref

import (
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

// A backend describes the coordinates of one kind of reference.
type backend struct {
	id     string  // in events, logs and metrics
	name   string  // in messages
	fields []field // in canonical order

	// values returns the values of fields, in their order, and reference makes
	// a reference of them. Both work by value, so that parsing allocates
	// nothing.
	values    func(Reference) fieldValues
	reference func(fieldValues) Reference

	// target returns what has to be fetched, and whole the reference to all of
	// it.
	target func(Reference) Target
	whole  func(Target) Reference
}

// A field is one member of a backend's coordinates.
type field struct {
	name     string
	required bool
	standard string // the value of an absent field; String omits it
	check    func(name, value string) error

	// ambiguous marks a name that is common in passwords and other JSON: alone
	// it does not make a text look like a reference.
	ambiguous bool

	// aliases are other names in use for the same thing, as Fold returns them.
	aliases []string
}

// maxFields limits the fields of a backend.
const maxFields = 5

// fieldValues has the values of a backend's fields; "" means absent.
type fieldValues [maxFields]string

// Fields whose names are needed outside the table.
const (
	fieldRegion  = "region"
	fieldKeyring = "keyring"
)

// backends has an entry for every kind of reference with coordinates of its
// own.
var backends = [...]backend{
	AWS: {
		id:   "aws",
		name: "AWS Secrets Manager",
		fields: []field{
			{name: fieldRegion, required: true, check: checkRegion},
			{name: "secretId", required: true, check: checkText,
				aliases: []string{"secretname", "secretarn", "secret"}},
			{name: "secretPointer", check: checkPointer,
				aliases: []string{"pointer", "jsonpointer", "secretkey"}},
			{name: "endpointOverride", check: checkURL},
		},
		values: func(r Reference) fieldValues {
			return fieldValues{r.Region, r.SecretID, r.Pointer, r.EndpointOverride}
		},
		reference: func(v fieldValues) Reference {
			return Reference{Region: v[0], SecretID: v[1], Pointer: v[2], EndpointOverride: v[3]}
		},
		target: func(r Reference) Target {
			return Target{
				Endpoint: strings.TrimSuffix(r.EndpointOverride, "/"),
				Region:   r.Region, Secret: r.SecretID,
			}
		},
		whole: func(t Target) Reference {
			return Reference{Region: t.Region, SecretID: t.Secret, EndpointOverride: t.Endpoint}
		},
	},
	Vault: {
		id:   "vault",
		name: "Vault",
		fields: []field{
			{name: "mount", required: true, check: checkSegments},
			{name: "path", required: true, check: checkSegments, ambiguous: true},
			{name: "key", required: true, check: checkText, ambiguous: true},
			{name: "endpoint", required: true, check: checkEndpoint,
				aliases: []string{"url", "address", "addr"}},
			{name: "authenticationType", standard: TokenAuth, check: checkAuth,
				aliases: []string{"auth", "authtype", "authentication", "authmethod"}},
		},
		values: func(r Reference) fieldValues {
			return fieldValues{r.Mount, r.Path, r.Key, r.Endpoint, r.Auth}
		},
		reference: func(v fieldValues) Reference {
			return Reference{Mount: v[0], Path: v[1], Key: v[2], Endpoint: v[3], Auth: v[4]}
		},
		target: func(r Reference) Target {
			return Target{
				Endpoint: strings.TrimSuffix(r.Endpoint, "/"),
				Auth:     r.Auth, Mount: r.Mount, Path: r.Path,
			}
		},
		whole: func(t Target) Reference {
			return Reference{Mount: t.Mount, Path: t.Path, Endpoint: t.Endpoint, Auth: t.Auth}
		},
	},
	Keyring: {
		id:        "keyring",
		name:      "keyring",
		fields:    []field{{name: fieldKeyring, required: true, check: checkName}},
		values:    func(r Reference) fieldValues { return fieldValues{r.Name} },
		reference: func(v fieldValues) Reference { return Reference{Name: v[0]} },
		target:    func(r Reference) Target { return Target{Name: r.Name} },
		whole:     func(t Target) Reference { return Reference{Name: t.Name} },
	},
	Custom:     {id: "custom", name: "custom"},
	CipherFile: {id: "cipherfile"},
}

// hasFields reports whether references of the kind are made of fields, and not
// of a text for another parser.
func (k Kind) hasFields() bool { return int(k) < len(backends) && backends[k].fields != nil }

// BackendName returns the name of a kind's backend for messages.
func BackendName(k Kind) string { return backends[k].name }

// fieldNamed returns the field with exactly that name and the kind that has it,
// zero if there is none.
func fieldNamed(name string) (kind Kind, index int) {
	for k := range backends {
		for i := range backends[k].fields {
			if backends[k].fields[i].name == name {
				return Kind(k), i
			}
		}
	}
	return 0, 0
}

// IsCustomField reports whether no built-in backend has a field of that name.
func IsCustomField(name string) bool {
	kind, _ := fieldNamed(name)
	return kind == 0
}

// isDistinctive reports whether name is a field that is hardly ever part of a
// password.
func isDistinctive(name string) bool {
	kind, i := fieldNamed(name)
	return kind != 0 && !backends[kind].fields[i].ambiguous
}

// distinctiveNames are the names that make a text look like a reference: fields
// and the members of other values that are no passwords either.
var distinctiveNames = func() []string {
	names := cipherValueNames[:]
	for _, b := range backends {
		for _, f := range b.fields {
			if !f.ambiguous {
				names = append(names, f.name)
			}
		}
	}
	return names
}()

// coordinatesHint lists the required fields of all backends, for messages.
var coordinatesHint = func() string {
	var all []string
	for k, b := range backends {
		var names []string
		for _, f := range b.fields {
			if f.required {
				names = append(names, `"`+f.name+`"`)
			}
		}
		switch n := len(names); {
		case n == 1:
			all = append(all, names[0])
		case n > 1:
			all = append(all,
				strings.Join(names[:n-1], ", ")+" and "+names[n-1]+" ("+BackendName(Kind(k))+")")
		}
	}
	last := len(all) - 1
	return "coordinates have " + strings.Join(all[:last], ", ") + ", or " + all[last]
}()

// Validate checks a reference that was built by hand as strictly as parsing
// does.
func (r Reference) Validate() error {
	switch {
	case r.Kind == Custom && r.Class == "":
		return fault.New(fault.Syntax, "a custom reference needs a class")
	case r.Kind == Custom:
		return nil
	case !r.Kind.hasFields():
		return fault.New(fault.Syntax, "the reference is empty")
	}
	if len(r.String()) > maxText {
		return fault.New(fault.Syntax, "the coordinates are longer than %d bytes", maxText)
	}
	values := backends[r.Kind].values(r)
	for i, f := range backends[r.Kind].fields {
		switch {
		case values[i] == "" && f.required:
			return fault.New(fault.Syntax, "field %q is missing", f.name)
		case values[i] != "":
			if err := f.check(f.name, values[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
