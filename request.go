package secretref

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/fetch/cache"
	"github.com/seed74218947/secretref/internal/ref"
)

// request is one value to resolve and where it came from. An err of ErrNotReference
// means that it is plaintext.
type request struct {
	source, value string
	number        int // if not zero, the source is "value" and this number
	ref           ref.Reference
	err           error
	decoded       *string // the secret, if the value itself contains it: nothing is fetched
	fromFile      bool    // the value is from a product's file, where an empty password is allowed
}

// settled reports whether nothing has to be fetched for w.
func (w request) settled() bool { return w.err != nil || w.decoded != nil }

// isPlaintext reports whether err is exactly the sentinel that the grammar returns
// for plaintext.
func isPlaintext(err error) bool {
	return err == fault.NotReference //nolint:errorlint // not an error that wraps it
}

// newRequests returns a request for each of values. Errors name them "value 1" and
// so on.
func (r *Resolver) newRequests(values []string) []request {
	requests := make([]request, len(values))
	for i, value := range values {
		requests[i] = r.newRequest("", value)
		requests[i].number = i + 1
	}
	return requests
}

func (r *Resolver) newRequest(source, value string) request {
	reference, err := r.open().grammar.Parse(value)
	if ref.Blank(value) {
		err = fault.NotReference // the method plaintext decides whether it is an error
	}
	return request{source: source, value: value, ref: reference, err: err}
}

func (r *Resolver) resolveOne(ctx context.Context, w request) (Secret, error) {
	if w.err != nil {
		secrets, errs := r.resolveAll(ctx, []request{w}, false)
		return secrets[0], errs[0]
	}
	got := r.engine().fetcher.Resolve(ctx, []ref.Reference{w.ref}, cache.UseCached)[0]
	secret, err := r.toSecret(ctx, w, got)
	if err == nil && w.value != "" {
		r.keepWarm(w.value, secret, got)
	}
	return secret, err
}

// plan separates the references to fetch from the settled requests: plaintext, and
// malformed references.
type plan struct {
	requests []request
	secrets  []Secret
	errs     []error
	refs     []ref.Reference
	at       []int // for each of refs, the index of its request
}

func (r *Resolver) plan(ctx context.Context, requests []request) plan {
	p := plan{requests: requests,
		secrets: make([]Secret, len(requests)), errs: make([]error, len(requests))}
	for i, w := range requests {
		var err error
		switch {
		case !w.settled():
			p.refs, p.at = append(p.refs, w.ref), append(p.at, i)
			continue
		case w.err == nil:
			p.secrets[i], err = r.newSecret(ctx, w, *w.decoded)
		case isPlaintext(w.err):
			p.secrets[i], err = r.plaintext(ctx, w)
		default:
			err = w.err
		}
		if err != nil {
			p.errs[i] = w.withSource(err)
		}
	}
	return p
}

// resolveAll resolves requests together. It fetches nothing if one of them is
// malformed or, with allOrNothing, if one of them cannot be resolved.
func (r *Resolver) resolveAll(
	ctx context.Context, requests []request, allOrNothing bool,
) ([]Secret, []error) {
	p := r.plan(ctx, requests)
	if !malformed(requests) && !(allOrNothing && errors.Join(p.errs...) != nil) {
		for n, got := range r.engine().fetcher.Resolve(ctx, p.refs, cache.UseCached) {
			i := p.at[n]
			p.secrets[i], p.errs[i] = r.toSecret(ctx, requests[i], got)
			if requests[i].number > 0 && p.errs[i] == nil && len(requests) <= maxWarm/2 {
				r.keepWarm(requests[i].value, p.secrets[i], got)
			}
		}
	}
	return p.secrets, p.errs
}

// toSecret converts a fetch result to a Secret, or to an error that names the source.
func (r *Resolver) toSecret(ctx context.Context, w request, got fetch.Result) (Secret, error) {
	secret, err := Secret{}, got.Err
	if err == nil {
		secret, err = r.newSecret(ctx, w, got.Text)
	}
	if err != nil {
		return Secret{}, w.withSource(err)
	}
	return secret, nil
}

// malformed reports whether one of requests is a reference with a mistake.
func malformed(requests []request) bool {
	return slices.ContainsFunc(requests, func(w request) bool { return errors.Is(w.err, ErrSyntax) })
}

// plaintext returns the value itself, unless it is empty or Strict forbids it.
func (r *Resolver) plaintext(ctx context.Context, w request) (Secret, error) {
	opts := &r.open().opts
	switch empty := ref.Blank(w.value); {
	case empty && w.fromFile && !opts.Strict:
		r.open().log.WarnContext(ctx, "the password in the file is empty or blank", "source", w.where())
	case empty && !opts.AllowEmpty:
		return Secret{}, fault.New(fault.NotReference,
			"the value is empty or blank: is a variable not set, or a key missing? "+
				"If empty values are intended, set AllowEmpty")
	case !empty && opts.Strict:
		return Secret{}, fault.New(fault.NotReference, "the value is plaintext, which Strict forbids")
	}
	return resolvedSecret(w.value), nil
}

// newSecret wraps a fetched text and warns if it is empty.
func (r *Resolver) newSecret(ctx context.Context, w request, text string) (Secret, error) {
	opts := &r.open().opts
	switch {
	case text != "" || opts.AllowEmpty:
	case opts.Strict && w.decoded != nil:
		return Secret{}, fault.New(fault.NotReference, "the secret is empty, which Strict forbids")
	case opts.Strict:
		return Secret{}, fault.New(fault.Pointer, "the secret is empty, which Strict forbids")
	default:
		r.open().log.WarnContext(ctx, "the secret is empty",
			"source", w.where(), "reference", w.printable())
	}
	return resolvedSecret(text), nil
}

// withSource adds the source and the reference to an error.
func (w request) withSource(err error) error {
	return &Error{Source: fault.Printable(w.where()), Reference: w.printable(), Err: err}
}

// where names the place of the value.
func (w request) where() string {
	if w.number > 0 {
		return fmt.Sprintf("value %d", w.number)
	}
	return w.source
}

// printable returns the reference for messages. It is empty if the value did not
// parse or is for a Provider, since it may contain a password.
func (w request) printable() string {
	if w.ref.Kind == 0 || w.ref.Kind == ref.Custom || w.ref.Kind == ref.CipherFile {
		return ""
	}
	return w.ref.String()
}
