package secretref

import (
	"net/url"

	"github.com/seed74218947/secretref/internal/backend/awssm"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/endpoint"

	"context"
	"sync"

	"github.com/seed74218947/secretref/internal/backend"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// A Fake replaces all backends except Providers, in tests of programs that use this
// package; see [Options].Fake. Changes that are made with Set and Fail become visible as
// they would with a real backend: after the TTL or on [Live.Refresh], or at once if the
// TTL is negative. A Fake is safe for concurrent use.
type Fake struct {
	mu     sync.Mutex
	values map[ref.Reference]Secret
	fails  map[ref.Reference]error
	calls  int
}

// NewFake returns a Fake without secrets: every reference is ErrNotFound.
func NewFake() *Fake {
	return &Fake{values: map[ref.Reference]Secret{}, fails: map[ref.Reference]error{}}
}

// Set makes reference resolve to secret. If reference is an AWS reference without a
// pointer, secret may be a JSON document, and references with a pointer resolve to values
// in it. Set panics if reference is not a valid reference.
func (f *Fake) Set(reference, secret string) {
	ref := mustParse(reference)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.values[ref] = NewSecret(secret)
	delete(f.fails, ref)
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
	values := map[string]string{}
	for ref, text := range f.values {
		if ref.Target() == target {
			values[ref.Pointer+ref.Key] = text.Reveal()
		}
	}
	if len(values) == 0 {
		return backend.Document{}, fault.New(fault.NotFound, "the Fake has no such secret")
	}
	return compose(target.Kind, values)
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
