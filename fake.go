package secretref

import (
	"net/url"

	"github.com/seed74218947/secretref/internal/backend/awssm"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/endpoint"

	"context"
	"sync"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/ref"
)

// A Fake stands in for all backends but Providers in tests of programs that use
// this package: give it to Options.Fake. What it is told anew shows as with a
// real backend: when the TTL has passed or a [Live] is refreshed, or at once
// with a negative TTL. It is safe for concurrent use.
type Fake struct {
	mu     sync.Mutex
	values map[ref.Reference]Secret
	fails  map[ref.Reference]error
	calls  int
}

// NewFake returns a Fake that knows nothing: every reference is ErrNotFound.
func NewFake() *Fake {
	return &Fake{values: map[ref.Reference]Secret{}, fails: map[ref.Reference]error{}}
}

// Set makes reference resolve to secret. Where an AWS reference has no pointer,
// secret may be a JSON document that other references point into. Set panics if
// reference is not one.
func (f *Fake) Set(reference, secret string) {
	ref := mustParse(reference)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.values[ref] = NewSecret(secret)
	delete(f.fails, ref)
}

// Fail makes reference, and all others into the same secret, fail with err,
// which should wrap a sentinel of this package; it is not tried again. Nil, or
// a Set, undoes it. Fail panics if reference is not one.
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

// Calls returns how many fetches a real backend would have seen.
func (f *Fake) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func mustParse(reference string) ref.Reference {
	var g ref.Grammar
	ref, err := g.Parse(reference)
	if err != nil {
		panic("secretref: the Fake was given a text that is not a reference")
	}
	return ref
}

// fakeBackend is a Fake at the place of a backend.
type fakeBackend struct {
	*Fake
	policy *httpguard.Policy
}

func (f fakeBackend) Fetch(_ context.Context, g ref.Target) (fetch.Document, error) {
	if err := f.checkEndpoint(g); err != nil {
		return fetch.Document{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	for ref, err := range f.fails {
		if ref.Target() == g {
			return fetch.Document{}, (&fault.Error{Kind: err}).Permanently()
		}
	}
	values := map[string]string{}
	for ref, text := range f.values {
		if ref.Target() == g {
			values[ref.Pointer+ref.Key] = text.Reveal()
		}
	}
	if len(values) == 0 {
		return fetch.Document{}, fault.New(fault.NotFound, "the Fake was not told of it")
	}
	later := func(key string) (string, bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for ref, text := range f.values {
			if ref.Target() == g && ref.Pointer+ref.Key == key {
				return text.Reveal(), true
			}
		}
		return "", false
	}
	return fetch.Document{Values: values, Later: later}, nil
}

// checkEndpoint calls AllowEndpoint with the endpoint that a real backend would
// connect to, so that a test of a program finds what production would refuse.
func (f fakeBackend) checkEndpoint(g ref.Target) error {
	var at *url.URL
	var err error
	switch g.Kind {
	case ref.AWS:
		at, err = awssm.Endpoint(g.Region, g.Endpoint)
	case ref.Vault:
		if at, err = endpoint.ParseOrSocket(g.Endpoint); err != nil {
			err = fault.New(fault.Syntax, "the endpoint %s", err)
		}
	default:
		return nil
	}
	if err != nil {
		return err
	}
	return f.policy.Ask(at)
}
