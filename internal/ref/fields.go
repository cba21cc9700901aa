package ref

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed74218947/secretref/internal/endpoint"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/jsonptr"
)

const (
	fieldRegion             = "region"
	fieldSecretID           = "secretId"
	fieldSecretPointer      = "secretPointer"
	fieldEndpointOverride   = "endpointOverride"
	fieldMount              = "mount"
	fieldPath               = "path"
	fieldKey                = "key"
	fieldEndpoint           = "endpoint"
	fieldAuthenticationType = "authenticationType"
	fieldKeyring            = "keyring"
)

// field is one member of a backend's coordinates.
type field struct {
	name     string
	required bool
	check    func(name, value string) error
}

// schemas lists the fields of each backend in canonical order.
var schemas = [...][]field{
	AWS: {
		{fieldRegion, true, checkRegion},
		{fieldSecretID, true, checkText},
		{fieldSecretPointer, false, checkPointer},
		{fieldEndpointOverride, false, checkURL},
	},
	Vault: {
		{fieldMount, true, checkSegments},
		{fieldPath, true, checkSegments},
		{fieldKey, true, checkText},
		{fieldEndpoint, true, checkEndpoint},
		{fieldAuthenticationType, false, checkAuth},
	},
	Keyring: {
		{fieldKeyring, true, checkName},
	},
}

// backendNames is how messages call the backends.
var backendNames = [...]string{AWS: "AWS Secrets Manager", Vault: "Vault", Keyring: "keyring", Custom: "custom"}

// BackendName returns what messages call the backend of a kind.
func BackendName(k Kind) string { return backendNames[k] }

// ownerOf returns the backend of a field's exact name and where the field
// stands in its schema.
func ownerOf(name string) (Kind, int) {
	switch name {
	case fieldRegion:
		return AWS, 0
	case fieldSecretID:
		return AWS, 1
	case fieldSecretPointer:
		return AWS, 2
	case fieldEndpointOverride:
		return AWS, 3
	case fieldMount:
		return Vault, 0
	case fieldPath:
		return Vault, 1
	case fieldKey:
		return Vault, 2
	case fieldEndpoint:
		return Vault, 3
	case fieldAuthenticationType:
		return Vault, 4
	case fieldKeyring:
		return Keyring, 0
	}
	return 0, 0
}

// field returns where r keeps the field of that name.
func (r *Reference) field(name string) *string {
	switch name {
	case fieldRegion:
		return &r.Region
	case fieldSecretID:
		return &r.SecretID
	case fieldSecretPointer:
		return &r.Pointer
	case fieldEndpointOverride:
		return &r.EndpointOverride
	case fieldMount:
		return &r.Mount
	case fieldPath:
		return &r.Path
	case fieldKey:
		return &r.Key
	case fieldEndpoint:
		return &r.Endpoint
	case fieldAuthenticationType:
		return &r.Auth
	case fieldKeyring:
		return &r.Name
	}
	return nil
}

// IsCustomField reports whether no built-in backend has a field of that name.
func IsCustomField(name string) bool {
	kind, _ := ownerOf(name)
	return kind == 0
}

// Validate checks a reference that was built by hand as strictly as parsing
// does.
func (r Reference) Validate() error {
	switch {
	case r.Kind == Custom && r.Class == "":
		return fault.New(fault.Syntax, "a custom reference needs a class")
	case r.Kind == Custom:
		return nil
	case r.Kind < AWS || r.Kind > Custom:
		return fault.New(fault.Syntax, "the reference is empty")
	}
	if len(r.String()) > maxText {
		return fault.New(fault.Syntax, "the coordinates are longer than %d bytes", maxText)
	}
	schema := schemas[r.Kind]
	for i := range schema {
		f := &schema[i]
		switch value := *r.field(f.name); {
		case value == "" && f.required:
			return fault.New(fault.Syntax, "field %q is missing", f.name)
		case value != "":
			if err := f.check(f.name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkText(name, value string) error {
	if graphic(value) {
		return nil
	}
	if !utf8.ValidString(value) {
		return fault.New(fault.Syntax, "field %q is not valid UTF-8", name)
	}
	if strings.ContainsFunc(value, unicode.IsControl) {
		return fault.New(fault.Syntax, "field %q holds a control character", name)
	}
	if strings.TrimSpace(value) == "" {
		return fault.New(fault.Syntax, "field %q is blank", name)
	}
	return nil
}

// graphic reports whether s is made of visible ASCII characters, as nearly
// every field is.
func graphic(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// regionID reports whether s can be a label of a host name.
func regionID(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-'
}

// checkRegion keeps whatever could leave the host name that the region
// becomes part of out of it.
func checkRegion(name, value string) error {
	if regionID(value) {
		return nil
	}
	if better := strings.ToLower(strings.TrimSpace(value)); regionID(better) && strings.Count(better, "-") >= 2 && len(better) <= 20 {
		return fault.New(fault.Syntax, "field %q is not a region ID (did you mean %q?)", name, better)
	}
	return fault.New(fault.Syntax, "field %q is not a region ID such as \"eu-west-1\"", name)
}

func checkPointer(name, value string) error {
	err := jsonptr.ValidPointer(value)
	if err == nil {
		return nil
	}
	if value[0] != '/' && jsonptr.ValidPointer("/"+value) == nil && quotable(value) {
		return fault.New(fault.Syntax, "field %q: a pointer begins with a slash (did you mean %q?)", name, "/"+value)
	}
	return fault.New(fault.Syntax, "field %q is not a JSON pointer (RFC 6901): it begins with a slash, and \"~\" is written \"~0\"", name)
}

// checkEndpoint takes the path of a Unix socket, too: of a Vault Agent or Proxy.
func checkEndpoint(name, value string) error {
	if err := checkText(name, value); err != nil {
		return err
	}
	if err := endpoint.CheckOrSocket(value); err != nil {
		return fault.New(fault.Syntax, "field %q %s", name, err)
	}
	return nil
}

func checkURL(name, value string) error {
	if err := checkText(name, value); err != nil {
		return err
	}
	if err := endpoint.Check(value); err != nil {
		return fault.New(fault.Syntax, "field %q %s", name, err)
	}
	return nil
}

// checkSegments refuses the path segments that would read another secret than
// the one that the policy, or the reader, has in mind.
func checkSegments(name, value string) error {
	if err := checkText(name, value); err != nil {
		return err
	}
	if strings.Trim(value, "/") != value {
		return fault.New(fault.Syntax, "field %q begins or ends with a slash: leave it out", name)
	}
	for segment := range strings.SplitSeq(value, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fault.New(fault.Syntax, "field %q has an empty, \".\" or \"..\" segment", name)
		}
	}
	return nil
}

func checkAuth(name, value string) error {
	switch value {
	case TokenAuth, KubernetesAuth:
		return nil
	}
	for _, want := range []string{TokenAuth, KubernetesAuth} {
		if Near(strings.ToUpper(strings.TrimSpace(value)), want, 2) {
			return fault.New(fault.Syntax, "field %q must be %q or %q (did you mean %q?)", name, TokenAuth, KubernetesAuth, want)
		}
	}
	return fault.New(fault.Syntax, "field %q must be %q or %q", name, TokenAuth, KubernetesAuth)
}

func checkName(name, value string) error {
	if !utf8.ValidString(value) {
		return fault.New(fault.Syntax, "field %q is not valid UTF-8", name)
	}
	if len(value) > MaxName {
		return fault.New(fault.Syntax, "field %q is longer than %d bytes", name, MaxName)
	}
	return nil
}

// quotable reports whether a name may stand in a message: something that looks
// like a name and not like a password with its punctuation.
func quotable(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(c rune) bool {
		return c >= utf8.RuneSelf || (!unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("_-./", c))
	})
}
