package secretref

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/seed74218947/secretref/internal/backend"
	"github.com/seed74218947/secretref/internal/backend/awssm"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/endpoint"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/jsonptr"
	"github.com/seed74218947/secretref/internal/ref"
)

// A Fake replaces all backends except Providers, in tests of programs that use this
// package; see [Options].Fake. Changes that are made with Set and Fail become visible as
// they would with a real backend: after the TTL or on [Live.Refresh], or at once if the
// TTL is negative. [Options].LastKnown is not used with a Fake. A Fake is safe for
// concurrent use.
type Fake struct {
	mu      sync.Mutex
	secrets map[ref.Target]fakeSecret
	fails   map[ref.Reference]error
	calls   int
}

// fakeSecret is one secret of a Fake.
type fakeSecret struct {
	values   map[string]Secret // by pointer, as they were set
	document Secret            // composed of values
}

// NewFake returns a Fake without secrets: every reference is ErrNotFound.
func NewFake() *Fake {
	return &Fake{secrets: map[ref.Target]fakeSecret{}, fails: map[ref.Reference]error{}}
}

// Set makes reference resolve to secret, byte for byte. If reference is an AWS reference
// without a pointer, secret may be a JSON document, and references with a pointer resolve
// to values in it.
//
// As in a real backend, one secret is one document. Values that are set for pointers,
// before or after the whole secret, replace scalars of the whole secret or are added to
// its objects; the rest of it stays byte for byte. The values of Vault keys are the
// members of one object.
//
// Set panics if reference is not a valid reference, and if no document has all values
// that were set:
//   - The whole secret is not exactly one JSON object or array, and a pointer is set.
//   - A pointer leads to an object or array of the whole secret, through a scalar, or to
//     an array element that does not exist.
//   - One pointer leads through the value of another, for example "/a" and "/a/b".
//   - The value of a pointer or Vault key is not UTF-8.
//
// After such a panic, the Fake is unchanged.
func (f *Fake) Set(reference, secret string) {
	r := mustParse(reference)
	f.mu.Lock()
	defer f.mu.Unlock()
	values := map[string]Secret{}
	maps.Copy(values, f.secrets[r.Target()].values)
	values[fakePointer(r)] = NewSecret(secret)
	document, conflict := compose(values)
	if conflict != nil {
		panic(conflict.message(r))
	}
	f.secrets[r.Target()] = fakeSecret{values, NewSecret(document)}
	delete(f.fails, r)
}

// Fail makes reference, and all other references into the same secret, fail with err.
// The error should wrap a sentinel of this package. The fetch is not retried. Set, or
// Fail with a nil error, ends the failure. Fail panics if reference is not a valid
// reference.
func (f *Fake) Fail(reference string, err error) {
	ref := mustParse(reference)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.fails, ref)
	} else {
		f.fails[ref] = err
	}
}

// Calls returns the number of fetches that a real backend would have received.
func (f *Fake) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func mustParse(reference string) ref.Reference {
	var g ref.Grammar
	ref, err := g.Parse(reference)
	if err != nil {
		panic("secretref: Set and Fail of a Fake need a valid reference")
	}
	return ref
}

// fakeBackend fetches secrets from a Fake.
type fakeBackend struct {
	*Fake
	policy *httpguard.Policy
}

func (f fakeBackend) Fetch(_ context.Context, target ref.Target) (backend.Document, error) {
	if err := f.checkEndpoint(target); err != nil {
		return backend.Document{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	for ref, err := range f.fails {
		if ref.Target() == target {
			return backend.Document{}, (&fault.Error{Kind: err}).Permanently()
		}
	}
	secret, ok := f.secrets[target]
	if !ok {
		return backend.Document{}, fault.New(fault.NotFound, "the Fake has no such secret")
	}
	return backend.Document{Text: secret.document.Reveal()}, nil
}

// checkEndpoint calls AllowEndpoint with the endpoint that a real backend would connect
// to, so that a test detects endpoints that production would refuse.
func (f fakeBackend) checkEndpoint(target ref.Target) error {
	var at *url.URL
	var err error
	switch target.Kind {
	case ref.AWS:
		at, err = awssm.Endpoint(target.Region, target.Endpoint)
	case ref.Vault:
		if at, err = endpoint.ParseOrSocket(target.Endpoint); err != nil {
			err = fault.New(fault.Syntax, "the endpoint %s", err)
		}
	default:
		return nil
	}
	if err != nil {
		return err
	}
	return f.policy.CheckAllowed(at)
}

// fakePointer returns the pointer to the value of r in the document of its secret.
func fakePointer(r ref.Reference) string {
	if r.Kind == ref.Vault {
		return "/" + jsonptr.EscapeToken(r.Key)
	}
	return r.Pointer
}

// A fakeConflict is why no document has all values: the value at pointer does not fit
// the value at other. Both pointers are the same if a value fits no document.
type fakeConflict struct{ pointer, other, reason string }

// message returns the text of the panic. r is a reference into the secret.
func (c *fakeConflict) message(r ref.Reference) string {
	at := func(pointer string) string {
		if r.Kind != ref.Vault {
			r.Pointer = pointer
		}
		return r.String()
	}
	if c.pointer == c.other {
		return fmt.Sprintf("secretref: a Fake cannot have %s: "+
			"one secret is one document, and %s", at(c.pointer), c.reason)
	}
	return fmt.Sprintf("secretref: a Fake cannot have both %s and %s: "+
		"one secret is one document, and %s", at(c.other), at(c.pointer), c.reason)
}

// compose returns the document that has each of values at its pointer. The value of the
// empty pointer is the whole document, and no bytes of it change except at the other
// pointers.
func compose(values map[string]Secret) (string, *fakeConflict) {
	document := []byte("{}")
	whole, hasWhole := values[""]
	if hasWhole {
		if len(values) == 1 {
			return whole.Reveal(), nil
		}
		document = []byte(whole.Reveal())
	}
	for _, pointer := range slices.Sorted(maps.Keys(values)) {
		if pointer == "" {
			continue
		}
		text := values[pointer].Reveal()
		if !utf8.ValidString(text) {
			return "", &fakeConflict{pointer, pointer, "the value is not UTF-8"}
		}
		for other := range values {
			if other != "" && strings.HasPrefix(pointer, other+"/") {
				reason := fmt.Sprintf("the value at %q has no members", other)
				return "", &fakeConflict{pointer, other, reason}
			}
		}
		var err error
		if document, err = insert(document, pointer, text); err != nil {
			other := ""
			if !hasWhole {
				other = pointer
			}
			return "", &fakeConflict{pointer, other, err.Error()}
		}
	}
	return string(document), nil
}

// insert is jsonptr.Insert into a whole secret, which can be any text.
func insert(whole []byte, pointer, text string) ([]byte, error) {
	root, err := jsonptr.Lookup(whole, "")
	switch {
	case err != nil:
		return nil, fmt.Errorf("the whole secret is not JSON (%s)", err)
	case !jsonptr.IsContainer(root):
		return nil, errors.New("the whole secret is not an object or array")
	}
	return jsonptr.Insert(whole, pointer, text)
}
