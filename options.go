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
// They describe one identity. What a Resolver has fetched with it is handed out
// to all callers of that Resolver, also where [VaultOptions].Token or a Provider
// could return another credential for another caller. A program that acts for
// several tenants makes a Resolver for each, with a LastKnown of its own.
type Options struct {
	AWS   AWSOptions
	Vault VaultOptions

	// Keyring resolves references to stored secrets, {"keyring": name}. The
	// Resolver does not close it. Nil: they are ErrUnsupported.
	Keyring *Keyring

	// Providers are stores of the caller's own. [New] panics on one that cannot
	// work: without Fetch, without both ClassName and Fields, with the ClassName
	// of another Provider or of a product's own store, with Fields that are empty
	// or all belong to a built-in backend.
	Providers []Provider

	// TTL is how long a fetched secret is handed out from memory without asking
	// again; up to a tenth of it, at random, is taken off. References to a
	// Keyring are never kept. Zero: 5 minutes. Negative: nothing is kept, so that
	// MaxStale and LastKnown have nothing to give either; Lives are then renewed
	// every 5 minutes.
	TTL time.Duration

	// MaxStale is how old a secret may be that is handed out because its backend
	// is unavailable: not one that the backend said is denied or not found, which
	// is forgotten, and not while credentials or AllowEndpoint are refused. With such a secret in
	// hand a fetch is one attempt of at most 3 seconds from its turn on, and the
	// next one waits, up to a minute; a caller with less time gets the secret when
	// that is up. Each time the log is warned. Zero: 24 hours. Negative: never.
	MaxStale time.Duration

	// LastKnown keeps the last good secrets, sealed, so that a program can start
	// while a backend is unavailable: under names that [Keyring.Names] does not
	// yield, written when a secret has changed and else once an hour, removed when
	// its backend says that it is denied or not found, and never used when older
	// than MaxStale. Use one for each service and environment: references are told
	// apart by Vault's namespace, role and auth path and by AWS_PROFILE and
	// AWS_ROLE_ARN, but not by token or account.
	//
	// The age is the difference between the date that was stored and the clock of
	// this machine. A date up to 5 minutes in the future counts as now, a later one
	// is not used; from 1 minute on the log is warned, since a clock is wrong. With
	// a clock that is ahead, secrets are too old sooner, which is logged when one
	// would have been needed. While a program runs its clock does not matter.
	//
	// Its first use in a process costs each secret a read of it.
	// The Resolver does not close it, and Close waits up to some seconds for what
	// is being written. If nil, nothing outlives the process.
	LastKnown *Keyring

	// Timeout bounds one fetch with all its attempts, from its turn on. Who asks
	// for what is being fetched already shares that fetch, and the rest of its
	// time. Zero or less: 30 seconds.
	Timeout time.Duration

	// AllowEndpoint is called with scheme, host and path before any connection to
	// a backend is made. An error refuses the endpoint with ErrDenied, and its text
	// becomes part of the message. Anyone who can edit a configuration file names
	// the endpoint that the Vault token is sent to.
	//
	// The host is the one that is dialled, in its only spelling: ASCII, lower case,
	// an IP address in its usual form. Endpoints with other hosts (not ASCII, an
	// IPv4 address in octal) are ErrSyntax. AllowEndpoint is also called with the
	// target of every redirect, with its whole path, within a host, too; a redirect
	// that it refuses is ErrUnavailable. The services that give out AWS credentials
	// (STS, SSO, metadata) are not asked about: only the environment and the
	// profile can move them.
	//
	// If nil, every endpoint is allowed, except for Unix sockets and those that
	// [VaultOptions].Auth would post credentials to, and no redirect to another
	// host. It is called from several goroutines.
	AllowEndpoint func(*url.URL) error

	// Strict makes plaintext values errors (ErrNotReference), and secrets that a
	// backend has and that are empty (ErrPointer).
	Strict bool

	// AllowEmpty makes empty and blank values secrets with that text. If false,
	// they are ErrNotReference: an unset variable or a missing key is the
	// commonest way to a wrong password. It does not concern a field that was never
	// set, see [Resolver.ResolveStruct]. The empty password of a product's own
	// file is what the product makes of it, with a warning.
	AllowEmpty bool

	// Logger receives warnings and, at debug level, every fetch. Secrets are never
	// logged. If nil, warnings go to slog.Default().
	Logger *slog.Logger

	// OnFetch is told about every fetch when it ends. It is called from several
	// goroutines and must not call back into the Resolver. Nil: nobody is.
	OnFetch func(FetchEvent)

	// Fake answers instead of AWS, Vault and keyring: no network, no environment.
	// AllowEndpoint is called all the same; for an AWS reference without
	// endpointOverride with AWS' endpoint in the region. Nil: the real ones do.
	Fake *Fake
}

// timeout returns how long a fetch may take.
func (o *Options) timeout() time.Duration { return cmp.Or(max(0, o.Timeout), defaultTimeout) }

// logger returns where warnings go.
func (o *Options) logger() *slog.Logger { return cmp.Or(o.Logger, defaultLogger()) }

// defaultLogger returns a logger that passes warnings and errors on to
// slog.Default(), whatever that is when they are logged.
func defaultLogger() *slog.Logger { return slog.New(warningsOnly{}) }

// warningsOnly is a handler over another one; nil is that of slog.Default().
type warningsOnly struct{ under slog.Handler }

func (h warningsOnly) handler() slog.Handler {
	if h.under == nil {
		return slog.Default().Handler()
	}
	return h.under
}

func (h warningsOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.handler().Enabled(ctx, level)
}

func (h warningsOnly) Handle(ctx context.Context, r slog.Record) error {
	return h.handler().Handle(ctx, r)
}

func (h warningsOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warningsOnly{h.handler().WithAttrs(attrs)}
}

func (h warningsOnly) WithGroup(name string) slog.Handler {
	return warningsOnly{h.handler().WithGroup(name)}
}

// scope returns what tells last known secrets apart that are stored for one
// reference and belong to different identities.
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

// A FetchEvent tells about one fetch from a backend. What is handed out from
// memory is none.
type FetchEvent struct {
	Backend   string        // "aws", "vault", "keyring", "sealed" (files of an Algorithm class) or a Provider's ClassName
	Reference string        // the reference to all of what was fetched; empty for Providers and sealed files
	Start     time.Time     // of the first attempt
	Duration  time.Duration // of all attempts
	Attempts  int           // at least 1
	Err       error         // nil, or an error that wraps a sentinel or a Provider's error

	// Outcome is the kind of Err for metrics: "ok", "not_found", "denied",
	// "unauthenticated", "unavailable", "canceled" if those who asked have left,
	// or "failed" for any other.
	Outcome string

	// Cache is what was in memory: "miss" for nothing that may be used, "renew"
	// for a secret whose time has come, "refresh" where [Live.Refresh] asked.
	Cache string

	// Stale says that the last good secret is handed out in place of Err.
	Stale bool
}

// forward gives events out in their exported form.
func forward(onFetch func(FetchEvent)) func(fetch.Event) {
	if onFetch == nil {
		return nil
	}
	return func(e fetch.Event) {
		onFetch(FetchEvent{Backend: e.Backend(), Reference: e.Group.Reference(), Start: e.Start, Duration: e.Duration, Attempts: e.Attempts, Err: e.Err,
			Outcome: e.Outcome(), Cache: e.Cache(), Stale: e.Stale()})
	}
}

const (
	defaultTimeout  = 30 * time.Second
	defaultTTL      = 5 * time.Minute
	defaultMaxStale = 24 * time.Hour
)
