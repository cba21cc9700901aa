// Package secretref turns secret references into secrets.
//
// A secret reference is what Atlassian Data Center products keep in their
// configuration files instead of a password: the JSON coordinates of where it
// is.
//
//	{ENC}{"region":"ap-southeast-2","secretId":"mySecretId","secretPointer":"/password"}
//	{ENC}{"mount":"secret","path":"sample/secret","key":"password","endpoint":"https://vault.example.com"}
//	{ENC}{"keyring":"jdbc-password"}
//
// The first names a secret in AWS Secrets Manager, the second a key in a KV
// version 2 engine of HashiCorp Vault, the third a secret in a [Keyring].
//
// # Which function do I want
//
//   - A password from a variable or a configuration of your own:
//     [Resolver.Resolve]; several of them: [Resolver.ResolveAll].
//   - All [Secret] fields of a configuration struct: [Resolver.ResolveStruct].
//   - References inside other text, such as a connection string:
//     [Resolver.Expand].
//   - The database password that Jira, Confluence, Bitbucket, Bamboo or Crowd
//     uses: [ReadConfig], then [Resolver.ResolveConfig]; to open that database:
//     [Database.DataSource].
//   - A password that is rotated while the program runs: [Resolver.Handle];
//     user name and password together: [Resolver.HandleAll]; for database/sql:
//     [Connector]; for any other login: [Try].
//   - To keep secrets without any cloud: [OpenKeyring], [Keyring.Put], and
//     [Options].Keyring to resolve references to them.
//   - To rotate keys: [Keyring.Rotate], [Keyring.RotateIfOlder]; over HTTP:
//     [Keyring.Handler].
//   - To look at a reference without resolving it: [Parse].
//   - In tests of your program: [NewFake].
//
// # What to expect
//
// A value that nobody meant as a reference is plaintext and is returned as it
// is, so that a program can resolve every password it has. A value that was
// meant as one and has a mistake is an error, never a password. Many references
// into one secret are one fetch. Transient failures are tried again until the
// context or [Options].Timeout ends; everything else fails at once with an
// error that names the place, the reference, the cause and what mends it. A
// [Secret] redacts itself wherever it is printed or encoded; only
// [Secret.Reveal] returns its text.
//
// # In production
//
// A fetched secret is handed out from memory for [Options].TTL. When it cannot
// be fetched again because its backend is unavailable, the last good one is
// used up to MaxStale, with a warning; never one that is denied or not found.
// With LastKnown that holds for the start of the program, too. A [Handle] is
// renewed in the background, so that nobody waits for it and a rotated password
// needs no restart.
//
// # The keyring
//
// A [Keyring] is the application's own, and not the keys/ folder of a product.
// It stores secrets by name, sealed with AES-256-GCM under keys that can be
// rotated, while readers and writers go on.
//
// Which store: [FileStore] for one machine, [SQLStore] for several nodes that
// share a PostgreSQL, MySQL or MariaDB.
//
// Where the root key should live: the keys are wrapped by a root key, which
// should be kept apart from the database. A FileStore makes path.key beside it
// if none is given; better, resolve a reference to Vault or AWS and give that.
//
// How to rotate on a cadence: call [Keyring.RotateIfOlder] from a timer, on one
// node or on all; only one of them rotates. A rotation that is killed loses
// nothing, and the next one finishes it. Then [Keyring.DeleteInactive].
//
// What evidence there is: [Keyring.AuditLog] has every change of keys, written
// in the transaction of the change, with who made it ([WithActor]); also those
// that were refused or failed. [Keyring.Keys] shows what each key is needed
// for, [Keyring.Verify] opens every secret.
//
// What a backup must contain: the database, and in another place the root key.
// Restoring one brings keys back that were deleted after it was made, and the
// secrets as they were; what was sealed with keys deleted before is gone.
//
// How to recover: after ErrRootKey put the path.key of then back, or give the
// root key of then as RootKey, or as PreviousRootKey and call
// [Keyring.ChangeRootKey]; after ErrCorrupt, Verify names
// the secrets to be restored, stored again or deleted; a damaged file is not
// written to and has to be restored.
package secretref

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/atlassian/cipher"
	"github.com/seed74218947/secretref/internal/backend/awssm"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/fetch/cache"
	"github.com/seed74218947/secretref/internal/fetch/lastknown"
	"github.com/seed74218947/secretref/internal/fetch/refresh"
	"github.com/seed74218947/secretref/internal/ref"
)

// A Reference names where a secret is. It is one of [AWSReference],
// [VaultReference], [KeyringReference] and [CustomReference]; all are
// comparable. String returns the canonical form: Parse(r.String()) == r for
// every valid r but a CustomReference, which [Resolver.Parse] takes back.
type Reference interface {
	fmt.Stringer
	reference()
}

// A CustomReference names a secret in a store of the caller's own, see
// [Provider]. Its String is the coordinates as they were written.
type CustomReference struct {
	// Class is the Provider's ClassName.
	Class string

	// Coordinates is what the Provider is given: the JSON object of a value, or
	// the verbatim text that a configuration file holds for the class.
	Coordinates string
}

// String returns the coordinates behind the prefix {ENC}.
func (r CustomReference) String() string { return r.coord().String() }

func (CustomReference) reference() {}

func (r CustomReference) coord() ref.Reference {
	return ref.Reference{Kind: ref.Custom, Class: r.Class, Text: r.Coordinates}
}

// Parse parses a value of a built-in backend: JSON coordinates, alone or after
// the prefix {ENC} or <ENC>. It returns ErrNotReference for plaintext and for an
// empty or blank value, ErrSyntax for what was meant as a reference and has a
// mistake, or is written in Base64, UTF-16 or another such form, and
// ErrUnsupported for {ATL_SECURED} and references of other tools. Errors name
// fields, and what a pointer or region was likely meant to be, but never quote
// the value, which may be a password.
func Parse(value string) (Reference, error) {
	var g ref.Grammar
	return exported(g.Parse(value))
}

// exported returns what was parsed in its exported form.
func exported(r ref.Reference, err error) (Reference, error) {
	switch err {
	case nil:
		return public(r), nil
	case fault.NotReference:
		return nil, plaintextError(false) // most values are
	case ref.ErrEmpty:
		return nil, plaintextError(true)
	}
	return nil, &Error{Err: err}
}

// plaintextError is the [*Error] that says of a value that it is plaintext, or
// that it is empty, made when somebody wants it.
type plaintextError bool

func (e plaintextError) full() *Error {
	if e {
		return &Error{Err: ref.ErrEmpty}
	}
	return &Error{Err: fault.NotReference}
}

func (e plaintextError) Error() string { return e.full().Error() }

func (plaintextError) Unwrap() error { return fault.NotReference }

func (e plaintextError) As(target any) bool {
	to, ok := target.(**Error)
	if ok {
		*to = e.full()
	}
	return ok
}

// public returns the exported form of a reference.
func public(r ref.Reference) Reference {
	switch r.Kind {
	case ref.AWS:
		return AWSReference{r.Region, r.SecretID, Pointer(r.Pointer), r.EndpointOverride}
	case ref.Vault:
		v := VaultReference{Mount: r.Mount, Path: r.Path, Key: r.Key, Endpoint: r.Endpoint}
		if r.Auth == ref.KubernetesAuth {
			v.AuthenticationType = VaultKubernetes
		}
		return v
	case ref.Keyring:
		return KeyringReference{r.Name}
	default:
		return CustomReference{r.Class, r.Text}
	}
}

const (
	defaultTimeout  = 30 * time.Second
	defaultTTL      = 5 * time.Minute
	defaultMaxStale = 24 * time.Hour
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
	// MaxStale and LastKnown have nothing to give either; Handles are then renewed
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
	// for a secret whose time has come, "refresh" where [Handle.Refresh] asked.
	Cache string

	// Stale says that the last good secret is handed out in place of Err.
	Stale bool
}

// A Resolver resolves references for one identity, see [Options]. It is safe for
// concurrent use. Create one with [New] and reuse it; the zero Resolver is not usable: its methods panic.
type Resolver struct{ state hidden[*resolverState] }

type resolverState struct {
	opts      Options
	grammar   ref.Grammar
	providers map[string]Provider
	sealed    sealedFiles
	log       *slog.Logger

	starting sync.Once
	started  *engine // by whoever needs it first

	written written
	warm    sync.Map // of values of one reference: what they resolve to
	warmed  atomic.Int32
}

// engine is what fetches, and keeps what it has fetched.
type engine struct {
	pipeline *fetch.Pipeline
	live     *refresh.Refresher
	closers  []interface{ Close() } // of backends that keep connections
}

// warm is what a value resolves to as long as its life lasts.
type warm struct {
	secret Secret
	life   *cache.Life
}

// maxWarm is how many values are known by their text.
const maxWarm = 8192

// New returns a Resolver. It does no I/O: configuration and credentials are
// looked for when the first reference needs them. Nil options are the zero
// Options.
func New(opts *Options) *Resolver {
	if opts == nil {
		opts = &Options{}
	}
	s := &resolverState{opts: *opts, written: written{seed: maphash.MakeSeed()}, sealed: sealedFiles{os.Getenv}, log: opts.logger()}
	if opts.Fake != nil {
		s.sealed.getenv = func(string) string { return "" }
	}
	opts.Vault.check()
	for _, p := range opts.Providers {
		s.add(p)
	}
	return &Resolver{hide(s)}
}

// open returns the state, which holds tokens and secrets and is hidden from
// printers.
func (r *Resolver) open() *resolverState {
	if r == nil || r.state.open == nil {
		panic("secretref: the Resolver was not made by New")
	}
	return r.state.open()
}

// engine returns what fetches. It is made when it is first needed: who only
// parses does not pay for it.
func (r *Resolver) engine() *engine {
	s := r.open()
	s.starting.Do(func() { s.started = r.connect(r.backends()) })
	return s.started
}

// connect puts an engine over backends.
func (r *Resolver) connect(backends map[ref.Kind]fetch.Backend, closers []interface{ Close() }) *engine {
	opts := &r.open().opts
	s := fetch.Settings{Timeout: opts.timeout(), TTL: cmp.Or(opts.TTL, defaultTTL), MaxStale: cmp.Or(opts.MaxStale, defaultMaxStale),
		Log: r.open().log, OnFetch: forward(opts.OnFetch)}
	if amazon, ok := backends[ref.AWS].(fetch.BatchBackend); ok && opts.AWS.Batch {
		s.Batch = amazon
	}
	if opts.LastKnown != nil {
		s.Known = lastknown.New(reserved{opts.LastKnown}, opts.scope, r.open().log)
	}
	p := fetch.New(backends, s)
	every := s.TTL
	if every < 0 {
		every = defaultTTL
	}
	return &engine{pipeline: p, live: refresh.New(p.Resolve, p.Changed(), every, r.open().log), closers: closers}
}

// backends returns where secrets come from, and what of it has to be closed.
func (r *Resolver) backends() (backends map[ref.Kind]fetch.Backend, closers []interface{ Close() }) {
	opts := &r.open().opts
	if opts.Fake != nil {
		fake := fakeBackend{opts.Fake, &httpguard.Policy{Allow: opts.AllowEndpoint}}
		return map[ref.Kind]fetch.Backend{ref.AWS: fake, ref.Vault: fake, ref.Keyring: fake, ref.Custom: custom(r.open().providers), ref.Sealed: r.open().sealed}, nil
	}
	policy := &httpguard.Policy{Allow: opts.AllowEndpoint, Log: r.open().log}
	v := opts.Vault
	amazon := awssm.New(opts.AWS.Config, policy, r.open().log)
	vault := vaultkv.New(vaultkv.Settings{Token: v.Token, Auth: v.Auth, NoToken: v.NoToken, RenewToken: v.RenewToken, Role: v.Role, AuthPath: v.AuthPath, JWTPath: v.JWTPath,
		Namespace: v.Namespace, Timeout: opts.timeout()}, policy, r.open().log)
	backends = map[ref.Kind]fetch.Backend{
		ref.AWS:    amazon,
		ref.Vault:  vault,
		ref.Custom: custom(r.open().providers),
		ref.Sealed: r.open().sealed,
	}
	if opts.Keyring != nil {
		backends[ref.Keyring] = stored{opts.Keyring}
	}
	return backends, []interface{ Close() }{amazon, vault}
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

// Close ends all fetches under way and waits for them. Their callers, and later
// ones whose value has to be fetched, get ErrClosed. Handles keep their values,
// which no longer change. Close must not be called from a Provider or OnFetch. It
// returns nil.
func (r *Resolver) Close() error {
	e := r.engine()
	e.live.Close()
	e.pipeline.Close()
	for _, backend := range e.closers {
		backend.Close()
	}
	return nil
}

// Parse is like the function [Parse] and knows the Resolver's Providers too.
func (r *Resolver) Parse(value string) (Reference, error) {
	return exported(r.open().grammar.Parse(value))
}

// Resolve returns the secret that value refers to, or value itself if it is
// plaintext. Its errors wrap one of the sentinels of this package, but for
// those of a Provider's own. What was fetched is kept for [Options].TTL.
func (r *Resolver) Resolve(ctx context.Context, value string) (Secret, error) {
	if known, ok := r.open().warm.Load(value); ok {
		if known := known.(*warm); known.life.Fresh() {
			return known.secret, nil
		}
	}
	return r.one(ctx, r.want("", value))
}

// ResolveReference returns the secret that ref names. A ref that was made by
// hand is checked as strictly as a parsed one.
func (r *Resolver) ResolveReference(ctx context.Context, ref Reference) (Secret, error) {
	var w want
	switch ref := ref.(type) {
	case AWSReference:
		w.ref = ref.coord()
	case VaultReference:
		w.ref = ref.coord()
	case KeyringReference:
		w.ref = ref.coord()
	case CustomReference:
		w.ref = ref.coord()
	default:
		return Secret{}, &Error{Err: fault.New(fault.Syntax, "%T is not a reference: give the value that Parse returns, not a pointer", ref)}
	}
	if err := w.ref.Validate(); err != nil {
		return Secret{}, &Error{Err: err} // its text may hold a password
	}
	return r.one(ctx, w)
}

// ResolveAll resolves the values together: one fetch per secret, side by side.
// It returns a Secret for each value, in order, and all errors joined, each
// naming its value ("value 3" is the third). The Secrets of values that failed
// are zero. If one value is malformed nothing is fetched.
func (r *Resolver) ResolveAll(ctx context.Context, values ...string) ([]Secret, error) {
	r.open() // panics on a zero Resolver, without values, too
	if secrets, ok := r.allWarm(values); ok {
		return secrets, nil
	}
	secrets, errs := r.all(ctx, r.wantAll(values), false)
	return secrets, errors.Join(errs...)
}

// allWarm returns the secrets of values, if all are known by their text. Each
// secret has one version that is fresh at a time. Since all of them still are
// after the last one was looked up, values of one secret are of one version.
func (r *Resolver) allWarm(values []string) ([]Secret, bool) {
	state, found := r.open(), make([]*warm, len(values))
	for i, value := range values {
		known, ok := state.warm.Load(value)
		if !ok {
			return nil, false
		}
		found[i] = known.(*warm)
	}
	secrets := make([]Secret, len(values))
	for i, known := range found {
		if !known.life.Fresh() {
			return nil, false
		}
		secrets[i] = known.secret
	}
	return secrets, true
}

// want is one value on its way: where it stands, and the reference it is. An
// err of ErrNotReference means that it is plaintext.
type want struct {
	source, value string
	number        int // unless zero, it is the source
	ref           ref.Reference
	err           error
	found         *string // what the value itself holds, decoded: nothing is fetched
	fromFile      bool    // a product's file has it, so that an empty password is the product's
}

// settled reports whether nothing has to be fetched for w.
func (w want) settled() bool { return w.err != nil || w.found != nil }

// isPlaintext reports whether err is the sentinel that the grammar returns for
// a value that is not meant as a reference, and nothing more.
func isPlaintext(err error) bool { return err == fault.NotReference } //nolint:errorlint // not an error that wraps it

// wantAll returns a want for each of values, which errors call "value 1" and so
// on.
func (r *Resolver) wantAll(values []string) []want {
	wants := make([]want, len(values))
	for i, value := range values {
		wants[i] = r.want("", value)
		wants[i].number = i + 1
	}
	return wants
}

func (r *Resolver) want(source, value string) want {
	reference, err := r.open().grammar.Parse(value)
	if ref.Blank(value) {
		err = fault.NotReference // what it means is decided in plaintext
	}
	return want{source: source, value: value, ref: reference, err: err}
}

func (r *Resolver) one(ctx context.Context, w want) (Secret, error) {
	if w.err != nil {
		secrets, errs := r.all(ctx, []want{w}, false)
		return secrets[0], errs[0]
	}
	got := r.engine().pipeline.Resolve(ctx, []ref.Reference{w.ref}, cache.Cached)[0]
	secret, err := r.outcome(ctx, w, got)
	if err == nil && w.value != "" {
		r.remember(w.value, secret, got)
	}
	return secret, err
}

// remember makes a value known by its text.
func (r *Resolver) remember(value string, secret Secret, got fetch.Result) {
	if got.Stale != nil || got.Text == "" || !got.Version.Fresh() {
		return
	}
	s := r.open()
	if known, ok := s.warm.Load(value); ok && known.(*warm).life == got.Version.Life {
		return
	}
	if _, known := s.warm.Swap(strings.Clone(value), &warm{secret, got.Version.Life}); !known && s.warmed.Add(1) > maxWarm {
		s.warm.Clear()
		s.warmed.Store(0)
	}
}

// plan tells what has to be fetched from what is settled: plaintext, and
// values that are not references although they should be.
type plan struct {
	wants   []want
	secrets []Secret
	errs    []error
	refs    []ref.Reference
	at      []int // the index of each of refs in wants
}

func (r *Resolver) plan(ctx context.Context, wants []want) plan {
	p := plan{wants: wants, secrets: make([]Secret, len(wants)), errs: make([]error, len(wants))}
	for i, w := range wants {
		var err error
		switch {
		case !w.settled():
			p.refs, p.at = append(p.refs, w.ref), append(p.at, i)
			continue
		case w.err == nil:
			p.secrets[i], err = r.fetched(ctx, w, *w.found)
		case isPlaintext(w.err):
			p.secrets[i], err = r.plaintext(ctx, w)
		default:
			err = w.err
		}
		if err != nil {
			p.errs[i] = w.located(err)
		}
	}
	return p
}

// all resolves wants together. It fetches nothing if one of them is malformed,
// or, where only all of them are of use, if one cannot be resolved.
func (r *Resolver) all(ctx context.Context, wants []want, onlyAll bool) ([]Secret, []error) {
	p := r.plan(ctx, wants)
	if !malformed(wants) && !(onlyAll && errors.Join(p.errs...) != nil) {
		for n, got := range r.engine().pipeline.ResolveAll(ctx, p.refs, cache.Cached) {
			i := p.at[n]
			p.secrets[i], p.errs[i] = r.outcome(ctx, wants[i], got)
			if wants[i].number > 0 && p.errs[i] == nil && len(wants) <= maxWarm/2 {
				r.remember(wants[i].value, p.secrets[i], got)
			}
		}
	}
	return p.secrets, p.errs
}

// outcome hands out what became of a want.
func (r *Resolver) outcome(ctx context.Context, w want, got fetch.Result) (Secret, error) {
	secret, err := Secret{}, got.Err
	if err == nil {
		secret, err = r.fetched(ctx, w, got.Text)
	}
	if err != nil {
		return Secret{}, w.located(err)
	}
	return secret, nil
}

// malformed reports whether one of wants was meant as a reference and is none.
func malformed(wants []want) bool {
	return slices.ContainsFunc(wants, func(w want) bool { return errors.Is(w.err, ErrSyntax) })
}

// plaintext returns a value as it is, unless it is empty or Strict forbids it.
func (r *Resolver) plaintext(ctx context.Context, w want) (Secret, error) {
	opts := &r.open().opts
	switch empty := ref.Blank(w.value); {
	case empty && w.fromFile && !opts.Strict:
		r.open().log.WarnContext(ctx, "the password in the file is empty or blank", "source", w.place())
	case empty && !opts.AllowEmpty:
		return Secret{}, fault.New(fault.NotReference, "the value is empty or blank: is a variable not set, or a key missing? "+
			"If empty values are intended, set AllowEmpty")
	case !empty && opts.Strict:
		return Secret{}, fault.New(fault.NotReference, "the value is plaintext, which Strict forbids")
	}
	return resolvedSecret(w.value), nil
}

// fetched returns what a backend brought.
func (r *Resolver) fetched(ctx context.Context, w want, text string) (Secret, error) {
	opts := &r.open().opts
	switch {
	case text != "" || opts.AllowEmpty:
	case opts.Strict && w.found != nil: // it stands in the file
		return Secret{}, fault.New(fault.NotReference, "the secret is empty, which Strict forbids")
	case opts.Strict:
		return Secret{}, fault.New(fault.Pointer, "the secret is empty, which Strict forbids")
	default:
		r.open().log.WarnContext(ctx, "the secret is empty", "source", w.place(), "reference", w.printable())
	}
	return resolvedSecret(text), nil
}

// located puts the place and the reference before an error.
func (w want) located(err error) error {
	return &Error{Source: fault.Printable(w.place()), Reference: w.printable(), Err: err}
}

// place returns where the value stands.
func (w want) place() string {
	if w.number > 0 {
		return fmt.Sprintf("value %d", w.number)
	}
	return w.source
}

// printable returns the reference for messages: nothing if the value did not
// parse, or if it is for a Provider, since either may hold a password.
func (w want) printable() string {
	if w.ref.Kind == 0 || w.ref.Kind == ref.Custom || w.ref.Kind == ref.Sealed {
		return ""
	}
	return w.ref.String()
}

// sealedFiles reads the files that a value of an Algorithm class leads to, each
// time, so that a password that is sealed anew is seen.
type sealedFiles struct{ getenv func(string) string }

// Fetch implements the pipeline's backend.
func (f sealedFiles) Fetch(_ context.Context, g ref.Group) (fetch.Payload, error) {
	password, err := f.algorithm(g).Open(g.Text)
	return fetch.Payload{Text: password}, err
}

func (f sealedFiles) algorithm(g ref.Group) cipher.Algorithm {
	return cipher.Algorithm{Dir: g.Dir, Getenv: f.getenv, OnlyAES: g.Class == atlassian.OnlyAESClass}
}
