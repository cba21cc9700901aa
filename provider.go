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
	"github.com/seed74218947/secretref/internal/backend"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// A Provider adds a secret store of the caller's own to a [Resolver].
type Provider struct {
	// ClassName is the cipher class that stands for the store in configuration files, for
	// example "com.example.AzureKeyVaultStore". Fetch receives the exact text of values
	// with this class. If empty, the Provider is not used for configuration files with a
	// class.
	ClassName string

	// Fields are the members of a JSON object that identify it as coordinates of this
	// store. All of them must be present; other members may be. If empty, the store is
	// identified by ClassName only.
	Fields []string

	// Fetch returns the secret. An error is permanent unless it wraps ErrUnavailable; then
	// Fetch is called again. If an error has a method RetryAfter() time.Duration, the next
	// attempt begins after that time.
	//
	// The text of an error is not shown, because it may quote a secret; errors.Is and
	// errors.As find the error. [WithMessage] adds a text that is shown.
	//
	// Fetch must be safe for concurrent use. It must return when ctx ends, because
	// [Resolver.Close] waits for it.
	Fetch func(ctx context.Context, coordinates []byte) ([]byte, error)
}

// addProvider registers p. It panics if p is unusable, because that is a mistake in the
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
		panic("secretref: the class " + class + " belongs to a product")
	case slices.Contains(p.Fields, ""),
		len(p.Fields) > 0 && !slices.ContainsFunc(p.Fields, ref.IsCustomField):
		panic("secretref: the Fields of a Provider must include a name that no built-in backend uses")
	}
	if r.providers == nil {
		r.providers = map[string]Provider{}
	}
	r.providers[class] = p
	r.grammar.Customs = append(r.grammar.Customs,
		ref.CustomBackend{Class: class, Fields: slices.Clone(p.Fields)})
}

// fieldsClass returns a class name for a Provider that has only Fields. Different Fields
// have different class names.
func fieldsClass(fields []string) string {
	names := slices.Clone(fields)
	for i, name := range names {
		if quoted := strconv.Quote(name); strings.Contains(name, "+") || quoted != `"`+name+`"` {
			names[i] = quoted
		}
	}
	return strings.Join(names, "+")
}

// providerBackend fetches secrets from Providers, by class name.
type providerBackend map[string]Provider

// errProvider is the kind of a Provider's error that wraps no sentinel.
var errProvider = errors.New("the store failed")

// Fetch implements backend.Backend.
func (c providerBackend) Fetch(ctx context.Context, target ref.Target) (backend.Document, error) {
	p, ok := c[target.Class]
	if !ok {
		return backend.Document{},
			fault.New(fault.Unsupported, "there is no Provider for the class %q", target.Class)
	}
	text, err := p.Fetch(ctx, []byte(target.Text))
	if err == nil {
		return backend.Document{Text: string(text)}, nil
	}
	if ctx.Err() != nil {
		return backend.Document{},
			fault.New(fault.Unavailable, "the Provider for %q did not answer in time",
				target.Class).WithCause(err)
	}
	kind := errProvider
	for _, known := range []error{ErrUnavailable, ErrNotFound, ErrDenied, ErrUnauthenticated,
		ErrPointer, ErrUnsupported, ErrSyntax} {
		if fault.KindIs(err, known) {
			kind = known
			break
		}
	}
	failed := fault.New(kind, "%s", providerText(err, kind, target.Class)).WithCause(err)
	if !fault.ForbidsStale(err) { // it may be the error of another Resolver
		failed.RefusedLocally()
	}
	if asked, ok := errors.AsType[retryAfter](err); ok {
		failed.RetryAfter = asked.RetryAfter()
	}
	return backend.Document{}, failed
}

// providerText returns the text of a Provider's error that may be shown.
func providerText(err, kind error, class string) string {
	if text := fault.MessageOf(err); text != "" {
		return fmt.Sprintf("%s (Provider for %q)", text, class)
	}
	if err == kind { //nolint:errorlint // a sentinel and nothing more
		return fmt.Sprintf("from the Provider for %q", class)
	}
	return fmt.Sprintf("the Provider for %q returned a %T, whose text is not shown "+
		"because it may quote a secret: use WithMessage", class, err)
}

// WithMessage returns an error with the given text, which is shown where the text of err
// is not: in the error that results from an error of a [Provider], of
// VaultOptions.Token or of VaultOptions.Auth. The text must not contain a secret.
// errors.Is and errors.As find err; unwrapping finds only the text. If err is nil, the
// result is nil.
func WithMessage(err error, text string) error { return fault.WithMessage(err, text) }

// retryAfter is implemented by an error of a Provider that sets the time of the next
// attempt.
type retryAfter interface {
	error
	RetryAfter() time.Duration
}
