package secretref

import (
	"cmp"
	"context"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/ref"
)

// Options configure a Resolver. The zero value is ready for production.
//
// Options describe one identity. A Resolver serves a fetched secret to all its
// callers, even if [VaultOptions].Token or a [Provider] would return other
// credentials for another caller. A program that acts for several tenants needs
// one Resolver for each tenant, each with its own LastKnown.
type Options struct {
	AWS   AWSOptions
	Vault VaultOptions

	// Keyring resolves references to stored secrets, {"keyring": name}. The
	// Resolver does not close it. If nil, such references are ErrUnsupported.
	Keyring *Keyring

	// Providers are additional secret stores. [New] panics if one is unusable: it
	// has no Fetch; it has neither ClassName nor Fields; its ClassName is that of
	// another Provider or of a product's own store; a name in Fields is empty, or
	// all of them belong to a built-in backend.
	Providers []Provider

	// TTL is the time for which a fetched secret is served from memory. It is
	// shortened by a random part of up to a tenth. References to a Keyring are not
	// cached. If zero, TTL is 5 minutes. If negative, nothing is cached: MaxStale
	// and LastKnown then have no effect, and Lives are refreshed every 5 minutes.
	TTL time.Duration

	// MaxStale is the maximum age of a cached secret that is served while its
	// backend is unavailable. Each time, a warning is logged. If zero, MaxStale is
	// 24 hours. If negative, no stale secret is served.
	//
	// Only an unavailable backend is covered. A secret that its backend reports as
	// denied or not found is removed from memory. No stale secret is served while
	// the credentials or AllowEndpoint are refused.
	//
	// While such a secret is cached, a fetch makes a single attempt of at most 3
	// seconds, and after a failure the next fetch waits for up to a minute. A caller
	// whose context ends sooner gets the cached secret at that point.
	MaxStale time.Duration

	// LastKnown stores the last good secrets, encrypted, so that a program can start
	// while a backend is unavailable. If nil, no secret outlives the process. The
	// Resolver does not close it. LastKnown is not used with a Fake.
	//
	// A secret is written when it has changed, and otherwise once an hour. It is
	// removed when its backend reports it as denied or not found, and is not used if
	// it is older than MaxStale. Its name is reserved: [Keyring.Names] does not yield
	// it. In each process, the first use of a secret costs one read of LastKnown.
	// [Resolver.Close] waits several seconds at most for pending writes.
	//
	// Use one keyring for each service and environment. Secrets are stored
	// separately for each Vault namespace, role and auth path, and for each
	// AWS_PROFILE and AWS_ROLE_ARN, but not for each token or AWS account.
	//
	// The age of a secret is the difference between the stored date and the clock of
	// this machine. A date up to 5 minutes in the future counts as now, and a later
	// one is not used. If the date is more than 1 minute in the future, a warning is
	// logged, because one of the clocks is wrong. If the clock of this machine is
	// fast, secrets expire too early; this is logged when an expired secret would
	// have been needed. Within a running program the clock does not matter.
	LastKnown *Keyring

	// Timeout limits one fetch with all its attempts. It does not include the time
	// that a fetch waits while as many fetches as allowed are running; with AWS.Batch
	// it includes the wait for one of the 8 concurrent calls to a region.
	// Callers that need a secret that is already being fetched share that fetch and
	// its remaining time. If zero or negative, Timeout is 30 seconds.
	Timeout time.Duration

	// AllowEndpoint, if not nil, is called before any connection to a backend, with
	// the scheme, host and path of the endpoint. If it returns an error, the
	// reference is ErrDenied, and the text of the error becomes part of the message.
	// Set it if other people can edit the configuration, because a reference names
	// the endpoint that receives the Vault token.
	//
	// The host is the one that is dialed, in a normalized form: ASCII, lower case, IP
	// addresses in their usual notation. Endpoints with a host that is not ASCII, or
	// with an IPv4 address in octal, are ErrSyntax. AllowEndpoint is also called for
	// the target of every redirect, within one host too, with its complete path. A
	// refused redirect is ErrUnavailable. AllowEndpoint is not called for the
	// services that provide AWS credentials (STS, SSO, instance and container
	// metadata), because only the environment and the AWS profile can change their
	// addresses.
	//
	// If nil, all endpoints are allowed except Unix sockets and those that
	// [VaultOptions].Auth would send credentials to, and a redirect to another host
	// is not followed.
	//
	// AllowEndpoint must be safe for concurrent use.
	AllowEndpoint func(*url.URL) error

	// Strict makes plaintext values errors (ErrNotReference), and also secrets that
	// exist in a backend and are empty (ErrPointer).
	Strict bool

	// AllowEmpty accepts empty and blank values as secrets with that text. If false,
	// they are ErrNotReference, because an unset variable or a missing key is the
	// most common cause of a wrong password. AllowEmpty does not apply to a Secret
	// that was never set; see [Resolver.ResolveStruct]. An empty password in a
	// product's own configuration file is accepted in any case, as the product does,
	// and a warning is logged; Strict refuses it.
	AllowEmpty bool

	// Logger receives warnings and, at debug level, every fetch. Secrets are never
	// logged. If nil, warnings go to slog.Default().
	Logger *slog.Logger

	// OnFetch, if not nil, is called after every fetch. It must be safe for
	// concurrent use and must not call the Resolver.
	OnFetch func(FetchEvent)

	// Fake, if not nil, replaces AWS, Vault and the Keyring in tests, without using
	// the network or the environment. AllowEndpoint is still called; for an AWS
	// reference without endpointOverride, with the AWS endpoint of the region.
	Fake *Fake
}

// timeout returns the time limit of one fetch.
func (o *Options) timeout() time.Duration { return cmp.Or(max(0, o.Timeout), defaultTimeout) }

func (o *Options) logger() *slog.Logger { return cmp.Or(o.Logger, defaultLogger()) }

// defaultLogger returns a logger that passes warnings and errors to slog.Default(),
// which it looks up for each record.
func defaultLogger() *slog.Logger { return slog.New(warningsOnly{}) }

// warningsOnly passes warnings and errors to next or, if next is nil, to the
// handler of slog.Default().
type warningsOnly struct{ next slog.Handler }

func (w warningsOnly) handler() slog.Handler {
	if w.next == nil {
		return slog.Default().Handler()
	}
	return w.next
}

func (w warningsOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.handler().Enabled(ctx, level)
}

func (w warningsOnly) Handle(ctx context.Context, r slog.Record) error {
	return w.handler().Handle(ctx, r)
}

func (w warningsOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warningsOnly{w.handler().WithAttrs(attrs)}
}

func (w warningsOnly) WithGroup(name string) slog.Handler {
	return warningsOnly{w.handler().WithGroup(name)}
}

// scope returns a suffix for the keys of last known secrets: two identities may
// see different secrets under one reference.
func (o *Options) scope(k ref.Kind) []string {
	switch k {
	case ref.AWS:
		return []string{os.Getenv("AWS_PROFILE"), os.Getenv("AWS_ROLE_ARN")}
	case ref.Vault:
		return []string{
			cmp.Or(o.Vault.Namespace, os.Getenv("VAULT_NAMESPACE")),
			cmp.Or(o.Vault.Role, os.Getenv(vaultkv.RoleVariable)),
			cmp.Or(o.Vault.AuthPath, os.Getenv(vaultkv.AuthPathVariable)),
		}
	}
	return nil
}

// A FetchEvent describes one fetch from a backend. Secrets that are served from
// memory produce no event.
type FetchEvent struct {
	// Backend is "aws", "vault", "keyring", "cipherfile" (files of an Algorithm cipher
	// class) or the ClassName of a Provider.
	Backend string

	// Reference is the reference to the whole secret, without a pointer or key. It
	// is empty for Providers and for files of an Algorithm cipher class.
	Reference string

	Start    time.Time     // the start of the first attempt
	Duration time.Duration // of all attempts and the pauses between them
	Attempts int           // at least 1

	// Err is nil, or the error of the fetch. It wraps a sentinel of this package or
	// the error of a Provider.
	Err error

	// Outcome classifies Err for metrics: "ok", "not_found", "denied",
	// "unauthenticated", "unavailable", "canceled" if all callers have gone, and
	// "failed" for all other errors.
	Outcome string

	// Cache is the state of the cache before the fetch: "miss" if it had no usable
	// secret, "renew" if the TTL of the secret had ended, "refresh" if
	// [Live.Refresh] requested the fetch.
	Cache string

	// Stale reports whether the last good secret is served instead of Err.
	Stale bool
}

// observer returns a function that passes events to onFetch, or nil if onFetch is
// nil.
func observer(onFetch func(FetchEvent)) func(fetch.Event) {
	if onFetch == nil {
		return nil
	}
	return func(e fetch.Event) { onFetch(toFetchEvent(e)) }
}

func toFetchEvent(e fetch.Event) FetchEvent {
	return FetchEvent{
		Backend:   e.Backend(),
		Reference: e.Target.Reference(),
		Start:     e.Start,
		Duration:  e.Duration,
		Attempts:  e.Attempts,
		Err:       e.Err,
		Outcome:   e.Outcome(),
		Cache:     e.Cache(),
		Stale:     e.Stale(),
	}
}

const (
	defaultTimeout  = 30 * time.Second
	defaultTTL      = 5 * time.Minute
	defaultMaxStale = 24 * time.Hour
)
