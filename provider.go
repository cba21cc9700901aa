package secretref

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/ref"
)

// A Provider is a store of the caller's own.
type Provider struct {
	// ClassName is the cipher class that names the store in configuration files,
	// for example "com.example.AzureKeyVaultStore". Where it stands the value is
	// given to Fetch verbatim.
	ClassName string

	// Fields are the members that identify coordinates of this store in a value:
	// all of them must be there; others may be. Empty: it is known by its class
	// only.
	Fields []string

	// Fetch returns the secret. Its errors are permanent unless they wrap
	// ErrUnavailable. Their text may quote a secret and is not shown; it is
	// reachable with errors.As. [WithMessage] adds a text that is shown. An error
	// with a method RetryAfter() time.Duration asks for a pause of that length
	// before the next attempt. Fetch is called from several goroutines, and must
	// return when ctx ends: Resolver.Close waits for it.
	Fetch func(ctx context.Context, coordinates []byte) ([]byte, error)
}

// addProvider makes a provider known; what is wrong with it is a mistake in the
// program.
func (r *resolverState) addProvider(p Provider) {
	class := cmp.Or(p.ClassName, fieldsClass(p.Fields))
	switch _, known := r.providers[class]; {
	case p.Fetch == nil:
		panic("secretref: a Provider needs Fetch")
	case class == "":
		panic("secretref: a Provider needs ClassName or Fields")
	case known:
		panic("secretref: two Providers for " + class)
	case atlassian.CipherClassOf(class) != atlassian.CustomClass:
		panic("secretref: the class " + class + " is a product's own")
	case slices.Contains(p.Fields, ""), len(p.Fields) > 0 && !slices.ContainsFunc(p.Fields, ref.IsCustomField):
		panic("secretref: the Fields of a Provider must have a name that no built-in backend uses")
	}
	if r.providers == nil {
		r.providers = map[string]Provider{}
	}
	r.providers[class] = p
	r.grammar.Customs = append(r.grammar.Customs, ref.CustomFields{Class: class, Fields: slices.Clone(p.Fields)})
}

// fieldsClass returns the class of a Provider that has only Fields. Different
// Fields have different ones.
func fieldsClass(fields []string) string {
	names := slices.Clone(fields)
	for i, name := range names {
		if quoted := strconv.Quote(name); strings.Contains(name, "+") || quoted != `"`+name+`"` {
			names[i] = quoted
		}
	}
	return strings.Join(names, "+")
}

// providerBackend asks the Providers.
type providerBackend map[string]Provider

// errProvider is the kind of an error of a Provider that wraps no sentinel.
var errProvider = errors.New("the store failed")

// Fetch implements the pipeline's backend.
func (c providerBackend) Fetch(ctx context.Context, g ref.Target) (fetch.Document, error) {
	p, ok := c[g.Class]
	if !ok {
		return fetch.Document{}, fault.New(fault.Unsupported, "no Provider is given for the class %q", g.Class)
	}
	text, err := p.Fetch(ctx, []byte(g.Text))
	if err == nil {
		return fetch.Document{Text: string(text)}, nil
	}
	if ctx.Err() != nil {
		return fetch.Document{}, fault.New(fault.Unavailable, "the Provider for %q did not answer in time", g.Class).WithCause(err)
	}
	kind := errProvider
	for _, known := range []error{ErrUnavailable, ErrNotFound, ErrDenied, ErrUnauthenticated, ErrPointer, ErrUnsupported, ErrSyntax} {
		if fault.KindIs(err, known) {
			kind = known
			break
		}
	}
	failed := fault.New(kind, "%s", providerText(err, kind, g.Class)).WithCause(err)
	if !fault.Verdict(err) { // it may hand on a refusal of another Resolver
		failed.Ours()
	}
	if asked, ok := errors.AsType[retryAfter](err); ok {
		failed.RetryAfter = asked.RetryAfter()
	}
	return fetch.Document{}, failed
}

// providerText returns what may be shown of a Provider's error.
func providerText(err, kind error, class string) string {
	if text := fault.MessageOf(err); text != "" {
		return fmt.Sprintf("%s (Provider for %q)", text, class)
	}
	if err == kind { //nolint:errorlint // a sentinel and nothing more
		return fmt.Sprintf("from the Provider for %q", class)
	}
	return fmt.Sprintf("the Provider for %q returned a %T, whose text is not shown since it may quote a secret: use WithMessage", class, err)
}

// WithMessage returns an error whose text is shown where the text of err is not:
// in the error that a [Provider], VaultOptions.Token or VaultOptions.Auth leads to.
// text must hold no secret. errors.Is and errors.As find err; unwrapping finds
// only text. If err is nil, so is the result.
func WithMessage(err error, text string) error { return fault.WithMessage(err, text) }

// retryAfter is implemented by a Provider's error that asks for a pause.
type retryAfter interface {
	error
	RetryAfter() time.Duration
}
