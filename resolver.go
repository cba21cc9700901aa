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
//     [Database.DSN].
//   - A password that is rotated while the program runs: [Resolver.Handle];
//     user name and password together: [Resolver.HandleAll]; for database/sql:
//     [Connector].
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
	"crypto/subtle"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed74218947/secretref/internal/awssm"
	"github.com/seed74218947/secretref/internal/cache"
	"github.com/seed74218947/secretref/internal/coord"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/jdbc"
	"github.com/seed74218947/secretref/internal/lastknown"
	"github.com/seed74218947/secretref/internal/legacy"
	"github.com/seed74218947/secretref/internal/live"
	"github.com/seed74218947/secretref/internal/pipeline"
	"github.com/seed74218947/secretref/internal/product"
	"github.com/seed74218947/secretref/internal/transport"
	"github.com/seed74218947/secretref/internal/vaultkv"
	"github.com/seed74218947/secretref/internal/walk"
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

func (r CustomReference) coord() coord.Reference {
	return coord.Reference{Kind: coord.Custom, Class: r.Class, Text: r.Coordinates}
}

// Parse parses a value of a built-in backend: JSON coordinates, alone or after
// the prefix {ENC} or <ENC>. It returns ErrNotReference for plaintext,
// ErrSyntax for what was meant as a reference and has a mistake, and
// ErrUnsupported for {ATL_SECURED} and references of other tools. Errors name
// fields, and what a pointer or region was likely meant to be, but never quote
// the value, which may be a password.
func Parse(value string) (Reference, error) {
	var g coord.Grammar
	return exported(g.Parse(value))
}

// exported returns what was parsed in its exported form.
func exported(r coord.Reference, err error) (Reference, error) {
	switch err {
	case nil:
		return public(r), nil
	case fault.NotReference:
		return nil, plaintextError{} // most values are
	}
	return nil, &Error{Err: err}
}

// plaintextError is the [*Error] that says of a value that it is plaintext, made
// when somebody wants it.
type plaintextError struct{}

func (plaintextError) full() *Error { return &Error{Err: fault.NotReference} }

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
func public(r coord.Reference) Reference {
	switch r.Kind {
	case coord.AWS:
		return AWSReference{r.Region, r.SecretID, Pointer(r.Pointer), r.EndpointOverride}
	case coord.Vault:
		v := VaultReference{Mount: r.Mount, Path: r.Path, Key: r.Key, Endpoint: r.Endpoint}
		if r.Auth == coord.KubernetesAuth {
			v.AuthenticationType = VaultKubernetes
		}
		return v
	case coord.Keyring:
		return KeyringReference{r.Name}
	default:
		return CustomReference{r.Class, r.Text}
	}
}

// The kinds of failure, for errors.Is.
var (
	// ErrSyntax: what was meant as a reference, a pointer or a configuration
	// file has a mistake. Nothing was fetched.
	ErrSyntax = fault.Syntax

	// ErrNotReference: the value is plaintext, or empty, where a reference is
	// wanted.
	ErrNotReference = fault.NotReference

	// ErrUnsupported: the value, file or backend is of a kind that this package
	// does not read.
	ErrUnsupported = fault.Unsupported

	// ErrNotFound: the secret, version, mount or file does not exist.
	ErrNotFound = fault.NotFound

	// ErrDenied: who asks is known and lacks a permission, or the endpoint is
	// not allowed. Only the backend's own word is: what a proxy or a gateway
	// forbids, and a redirect that is not followed, are ErrUnavailable.
	ErrDenied = fault.Denied

	// ErrUnauthenticated: there are no credentials, or they are not accepted. A
	// Vault that cannot reach the API server of the Kubernetes cluster refuses a
	// pod's login in the same way.
	ErrUnauthenticated = fault.Unauthenticated

	// ErrUnavailable: the backend did not answer, or said that it cannot at the
	// moment.
	ErrUnavailable = fault.Unavailable

	// ErrPointer: the secret is there, but the pointer or key does not lead to a
	// string, number or boolean in it.
	ErrPointer = fault.Pointer

	// ErrRootKey: the root key of a keyring is missing, is not one, or is not the
	// one that its keys are wrapped with.
	ErrRootKey = fault.RootKey

	// ErrCorrupt: the file of a keyring, a key or a stored secret is damaged.
	ErrCorrupt = fault.Corrupt

	// ErrRotationInProgress: somebody else is changing the keys at this moment.
	ErrRotationInProgress = fault.RotationInProgress

	// ErrRotationBlocked: a stored secret cannot be opened, or is still sealed
	// with a key that was to be deleted.
	ErrRotationBlocked = fault.RotationBlocked
)

// An Error tells where which reference failed, and why. It wraps one of the
// sentinels above, or the error of a Provider. Like all errors of this package
// it holds no secret, whatever prints or encodes it.
type Error struct {
	// Source is where the value stands: "dbconfig.xml:14:
	// jdbc-datasource/password", "value 3", the path of a struct field. Empty
	// where there is just one.
	Source string

	// Reference is the canonical reference; empty if the value could not be
	// parsed, since its text may be a password.
	Reference string

	// Err is what went wrong and what mends it.
	Err error
}

// Error returns "secretref: source: reference: what went wrong".
func (e *Error) Error() string {
	text := "secretref: "
	if e.Source != "" {
		text += e.Source + ": "
	}
	if e.Reference != "" {
		text += e.Reference + ": "
	}
	return text + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// GoString returns what Error returns.
func (e *Error) GoString() string { return e.Error() }

// MarshalText returns what Error returns.
func (e *Error) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

const (
	defaultTimeout  = 30 * time.Second
	defaultTTL      = 5 * time.Minute
	defaultMaxStale = 24 * time.Hour
)

// Options configure a Resolver. The zero value is ready for production.
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
	// is unavailable: not one that is denied or not found. With such a secret in
	// hand a fetch is one attempt of at most 3 seconds from its turn on, and the
	// next one waits, up to a minute; a caller with less time gets the secret when
	// that is up. Each time the log is warned. Zero: 24 hours. Negative: never.
	MaxStale time.Duration

	// LastKnown keeps the last good secrets, sealed, so that a program can start
	// while a backend is unavailable: under names that [Keyring.Names] does not
	// yield, written when a secret has changed and else once an hour, removed when
	// it is denied or not found, and never used when older than MaxStale. Use one
	// for each service and environment: references are told apart by Vault's
	// namespace, role and auth path and by AWS_PROFILE and AWS_ROLE_ARN, but not by
	// token or account. Its first use in a process costs each secret a read of it.
	// The Resolver does not close it, and Close waits up to some seconds for what
	// is being written. Nil: nothing outlives the process.
	LastKnown *Keyring

	// Timeout bounds one fetch with all its attempts, from its turn on. Who asks
	// for what is being fetched already shares that fetch, and the rest of its
	// time. Zero or less: 30 seconds.
	Timeout time.Duration

	// AllowEndpoint is asked, with scheme, host and path, before any connection
	// to a backend; an error refuses it with ErrDenied. Whoever can edit a
	// configuration file names the endpoint that the Vault token is sent to. It
	// also approves the target of a redirect to another host; one that is not
	// approved is ErrUnavailable, since it says nothing about the secret. The services that
	// give out AWS credentials (STS, SSO, metadata) are not asked about: only the
	// environment and the profile can move them. Nil: every
	// endpoint is allowed but Unix sockets and those that [VaultOptions].Auth would
	// post credentials to, and no redirect to another host. It is called from
	// several goroutines.
	AllowEndpoint func(*url.URL) error

	// Strict makes plaintext and empty values errors (ErrNotReference).
	Strict bool

	// Logger hears warnings, and with Debug every fetch; never a secret. Nil:
	// nothing is logged.
	Logger *slog.Logger

	// OnFetch is told about every fetch when it ends. It is called from several
	// goroutines and must not call back into the Resolver. Nil: nobody is.
	OnFetch func(FetchEvent)

	// Fake answers instead of AWS, Vault and keyring: no network, no environment.
	// Nil: the real ones do.
	Fake *Fake
}

// timeout returns how long a fetch may take.
func (o *Options) timeout() time.Duration { return cmp.Or(max(0, o.Timeout), defaultTimeout) }

// logger returns where warnings go.
func (o *Options) logger() *slog.Logger {
	if o.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Logger
}

// scope tells the last known secrets of those apart who may see different ones
// under the same reference.
func (o *Options) scope(k coord.Kind) string {
	switch k {
	case coord.AWS:
		return strings.Join([]string{os.Getenv("AWS_PROFILE"), os.Getenv("AWS_ROLE_ARN")}, "\n")
	case coord.Vault:
		return strings.Join([]string{
			cmp.Or(o.Vault.Namespace, os.Getenv("VAULT_NAMESPACE")),
			cmp.Or(o.Vault.Role, os.Getenv(vaultkv.RoleVariable)),
			cmp.Or(o.Vault.AuthPath, os.Getenv(vaultkv.AuthPathVariable)),
		}, "\n")
	}
	return ""
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
	// ErrUnavailable; what they say is kept out of messages, and reachable with
	// errors.As. An error with a method RetryAfter() time.Duration says how long
	// the store wants to be left alone before the next attempt. It is called from
	// several goroutines, and must return when ctx ends: Resolver.Close waits for
	// it.
	Fetch func(ctx context.Context, coordinates []byte) ([]byte, error)
}

// A Resolver resolves references. It is safe for concurrent use; make one and
// keep it.
type Resolver struct {
	opts      Options
	grammar   coord.Grammar
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
	pipeline *pipeline.Pipeline
	live     *live.Refresher
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
	r := &Resolver{opts: *opts, written: written{seed: maphash.MakeSeed()}, sealed: sealedFiles{os.Getenv}, log: opts.logger()}
	if opts.Fake != nil {
		r.sealed.getenv = func(string) string { return "" }
	}
	opts.Vault.check()
	for _, p := range opts.Providers {
		r.add(p)
	}
	return r
}

// engine returns what fetches. It is made when it is first needed: who only
// parses does not pay for it.
func (r *Resolver) engine() *engine {
	r.starting.Do(func() { r.started = r.connect(r.backends()) })
	return r.started
}

// connect puts an engine over backends.
func (r *Resolver) connect(backends map[coord.Kind]pipeline.Backend, closers []interface{ Close() }) *engine {
	opts := &r.opts
	s := pipeline.Settings{Timeout: opts.timeout(), TTL: cmp.Or(opts.TTL, defaultTTL), MaxStale: cmp.Or(opts.MaxStale, defaultMaxStale),
		Log: r.log, OnFetch: forward(opts.OnFetch)}
	if amazon, ok := backends[coord.AWS].(pipeline.BatchBackend); ok && opts.AWS.Batch {
		s.Batch = amazon
	}
	if opts.LastKnown != nil {
		s.Known = lastknown.New(reserved{opts.LastKnown}, opts.scope, r.log)
	}
	p := pipeline.New(backends, s)
	every := s.TTL
	if every < 0 {
		every = defaultTTL
	}
	return &engine{pipeline: p, live: live.New(p.Resolve, p.Changed(), every), closers: closers}
}

// add makes a provider known; what is wrong with it is a mistake in the
// program.
func (r *Resolver) add(p Provider) {
	class := cmp.Or(p.ClassName, strings.Join(p.Fields, "+"))
	switch _, known := r.providers[class]; {
	case p.Fetch == nil:
		panic("secretref: a Provider needs Fetch")
	case class == "":
		panic("secretref: a Provider needs ClassName or Fields")
	case known:
		panic("secretref: two Providers for " + class)
	case product.StoreOf(class) != product.CustomStore:
		panic("secretref: the class " + class + " is a product's own")
	case slices.Contains(p.Fields, ""), len(p.Fields) > 0 && !slices.ContainsFunc(p.Fields, coord.Foreign):
		panic("secretref: the Fields of a Provider must have a name that no built-in backend uses")
	}
	if r.providers == nil {
		r.providers = map[string]Provider{}
	}
	r.providers[class] = p
	r.grammar.Customs = append(r.grammar.Customs, coord.CustomFields{Class: class, Fields: slices.Clone(p.Fields)})
}

// backends returns where secrets come from, and what of it has to be closed.
func (r *Resolver) backends() (backends map[coord.Kind]pipeline.Backend, closers []interface{ Close() }) {
	opts := &r.opts
	if opts.Fake != nil {
		fake := fakeBackend{opts.Fake}
		return map[coord.Kind]pipeline.Backend{coord.AWS: fake, coord.Vault: fake, coord.Keyring: fake, coord.Custom: custom(r.providers), coord.Sealed: r.sealed}, nil
	}
	policy := &transport.Policy{Allow: opts.AllowEndpoint, Log: r.log}
	v := opts.Vault
	amazon := awssm.New(opts.AWS.Config, policy, r.log)
	vault := vaultkv.New(vaultkv.Settings{Token: v.Token, Auth: v.Auth, NoToken: v.NoToken, RenewToken: v.RenewToken, Role: v.Role, AuthPath: v.AuthPath, JWTPath: v.JWTPath,
		Namespace: v.Namespace, Timeout: opts.timeout()}, policy, r.log)
	backends = map[coord.Kind]pipeline.Backend{
		coord.AWS:    amazon,
		coord.Vault:  vault,
		coord.Custom: custom(r.providers),
		coord.Sealed: r.sealed,
	}
	if opts.Keyring != nil {
		backends[coord.Keyring] = stored{opts.Keyring}
	}
	return backends, []interface{ Close() }{amazon, vault}
}

// forward gives events out in their exported form.
func forward(onFetch func(FetchEvent)) func(pipeline.Event) {
	if onFetch == nil {
		return nil
	}
	return func(e pipeline.Event) {
		onFetch(FetchEvent{Backend: e.Backend(), Reference: e.Group.Reference(), Start: e.Start, Duration: e.Duration, Attempts: e.Attempts, Err: e.Err,
			Outcome: e.Outcome(), Cache: e.Cache(), Stale: e.Stale()})
	}
}

// Close ends all fetches under way and waits for them; later ones fail with
// ErrUnavailable. Handles keep their values, which no longer change. It must
// not be called from a Provider or OnFetch. It returns nil.
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
	return exported(r.grammar.Parse(value))
}

// Resolve returns the secret that value refers to, or value itself if it is
// plaintext. Its errors wrap one of the sentinels of this package, but for
// those of a Provider's own. What was fetched is kept for [Options].TTL.
func (r *Resolver) Resolve(ctx context.Context, value string) (Secret, error) {
	if known, ok := r.warm.Load(value); ok {
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
	wants := make([]want, len(values))
	for i, value := range values {
		wants[i] = r.want(fmt.Sprintf("value %d", i+1), value)
	}
	secrets, errs := r.all(ctx, wants, false)
	return secrets, errors.Join(errs...)
}

// ResolveStruct resolves, in the struct that ptr points to, every [Secret] that
// holds text which was unmarshalled into it, and every string whose field has
// the tag
//
//	`secretref:"resolve"`
//
// also in nested structs, slices, arrays, maps and behind pointers. Unexported
// and interface fields are left alone. Either all are resolved or, with an
// error that names every field that failed, none is changed. When it is called
// again it leaves alone what it has resolved: Secrets, and of tagged strings the
// last few thousand of this Resolver, as long as nobody has moved or changed
// them. A struct that is nested deeper than 1000 steps is ErrUnsupported.
func (r *Resolver) ResolveStruct(ctx context.Context, ptr any) error {
	slots, done, err := walk.Walk(ptr, reflect.TypeFor[Secret]())
	if err != nil {
		return &Error{Err: err}
	}
	var wants []want
	var places []walk.Slot
	for _, slot := range slots {
		var value string
		var pending bool
		if s, ok := slot.Value.Interface().(Secret); ok {
			value, pending = s.pending()
		} else {
			value = slot.Value.String()
			pending = !r.written.has(slot.Place, value)
		}
		if pending {
			wants = append(wants, r.want(slot.Path, value))
			places = append(places, slot)
		}
	}
	secrets, errs := r.all(ctx, wants, true)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i, slot := range places {
		if slot.Value.Kind() == reflect.String {
			slot.Value.SetString(secrets[i].Reveal())
			r.written.add(slot.Place, secrets[i].Reveal())
		} else {
			slot.Value.Set(reflect.ValueOf(secrets[i]))
		}
	}
	done()
	return nil
}

// written remembers which strings hold what a ResolveStruct wrote: a secret can
// look like a reference, and is not to be resolved again.
type written struct {
	mu    sync.Mutex
	seed  maphash.Seed
	texts map[walk.Place]uint64 // what was written, as a hash
}

// maxWritten is how many strings are remembered.
const maxWritten = 8192

func (w *written) has(at walk.Place, text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	sum, ok := w.texts[at]
	return ok && sum == maphash.String(w.seed, text)
}

func (w *written) add(at walk.Place, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.texts == nil || len(w.texts) >= maxWritten {
		w.texts = map[walk.Place]uint64{}
	}
	w.texts[at] = maphash.String(w.seed, text)
}

// Expand replaces every reference in text, {ENC}{…} or <ENC><…>, by its secret
// and returns the whole as a Secret. escape is applied to each secret, so that
// it fits its surroundings: url.QueryEscape, say; nil inserts it as it is. What
// stands between references is kept as it is, also under Strict, but for a
// prefix that is misspelt: that is ErrSyntax. Errors name the line; after 20
// mistakes the rest is not looked at.
func (r *Resolver) Expand(ctx context.Context, text string, escape func(string) string) (Secret, error) {
	var wants []want
	var between []string
	if before, _, found := strings.Cut(text, coord.Placeholder); found {
		return Secret{}, &Error{Source: fmt.Sprintf("line %d", 1+strings.Count(before, "\n")), Err: coord.PlaceholderFault()}
	}
	line, rest := 1, text
	const most = 20
	for mistakes := 0; mistakes < most; {
		start, end, ok, err := coord.Find(rest)
		if !ok {
			break
		}
		line += strings.Count(rest[:start], "\n")
		w := want{source: fmt.Sprintf("line %d", line), err: err}
		if err == nil {
			w.ref, w.err = r.grammar.Coordinates(rest[start:end])
		}
		if w.err != nil {
			mistakes++
		}
		wants = append(wants, w)
		between = append(between, rest[:start])
		line += strings.Count(rest[start:end], "\n")
		rest = rest[end:]
	}
	secrets, errs := r.all(ctx, wants, true)
	if err := errors.Join(errs...); err != nil {
		return Secret{}, err
	}
	var b strings.Builder
	for i, s := range secrets {
		b.WriteString(between[i])
		if escape == nil {
			b.WriteString(s.Reveal())
		} else {
			b.WriteString(escape(s.Reveal()))
		}
	}
	b.WriteString(rest)
	return NewSecret(b.String()), nil
}

// A Handle is a live value: it is renewed in the background until its Resolver
// is closed, and outlives that: make one and keep it. It is safe for concurrent
// use. What Value returns is shared by all who call it: do not change its
// elements.
type Handle[T any] struct{ value *live.Value[T] }

// Handle resolves value as [Resolver.Resolve] does and keeps it up to date. A
// plaintext value stays what it is. The first Handle of a Resolver starts the
// one goroutine that renews the secrets of all of them, before their TTL ends.
func (r *Resolver) Handle(ctx context.Context, value string) (*Handle[Secret], error) {
	return watch(ctx, r, []want{r.want("", value)}, func(secrets []Secret) Secret { return secrets[0] })
}

// HandleAll is [Resolver.Handle] for several values, in order. Where they are
// parts of one secret, a user name and its password, they are always of the
// same version of it; name the secret in the same way in both, since a name and
// an ARN are fetched apart. There is no Handle unless all can be resolved.
func (r *Resolver) HandleAll(ctx context.Context, values ...string) (*Handle[[]Secret], error) {
	wants := make([]want, len(values))
	for i, value := range values {
		wants[i] = r.want(fmt.Sprintf("value %d", i+1), value)
	}
	return watch(ctx, r, wants, func(secrets []Secret) []Secret { return secrets })
}

func watch[T any](ctx context.Context, r *Resolver, wants []want, build func([]Secret) T) (*Handle[T], error) {
	p := r.plan(ctx, wants)
	if err := errors.Join(p.errs...); err != nil {
		return nil, err
	}
	background := context.WithoutCancel(ctx)
	check := func(n int, got pipeline.Result, seen bool) (usable bool, err error) {
		w := wants[p.at[n]]
		if !seen || got.Err != nil {
			if _, err := r.outcome(background, w, got); err != nil {
				return false, err
			}
		}
		if got.Stale != nil {
			return true, w.located(got.Stale)
		}
		return true, nil
	}
	value, err := live.Watch(ctx, r.engine().live, p.refs, check, func(texts []string) T {
		secrets := slices.Clone(p.secrets)
		for n, text := range texts {
			secrets[p.at[n]] = NewSecret(text)
		}
		return build(secrets)
	})
	if err != nil {
		return nil, err
	}
	return &Handle[T]{value}, nil
}

// Value returns the latest good value. It does no I/O, does not allocate and
// never waits. The value may be older than MaxStale: Status tells.
func (h *Handle[T]) Value() T { return h.value.State().Value }

// Status returns when the value was fetched (the oldest of its secrets), and
// why it is not newer: nil if it is as it should be.
func (h *Handle[T]) Status() (fetched time.Time, err error) {
	s := h.value.State()
	return s.Fetched, s.Err
}

// Refresh fetches the secrets anew and returns the value after it; with an
// error that is the last good one. The fetch begins after the call, and all
// who call meanwhile share it.
func (h *Handle[T]) Refresh(ctx context.Context) (T, error) {
	s, err := h.value.Refresh(ctx)
	return s.Value, err
}

// Updates yields the present value first, and then each change: another value,
// or, with an error beside the last good value, that it cannot be renewed. Of
// changes that come faster than they are taken only the latest is yielded. It
// ends when ctx ends or the Resolver is closed.
func (h *Handle[T]) Updates(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for s, ok := h.value.State(), true; ok && yield(s.Value, s.Err); {
			s, ok = h.value.Next(ctx, s)
		}
	}
}

// Connector returns what [database/sql.OpenDB] takes to connect with the
// current value of h. connect makes one connection. When refused says that its
// error means that the login was not accepted, the last value that was accepted
// is tried, and the current one again: a rotated password may be in the secret
// and not yet in the database. If neither is accepted, h is refreshed, and
// another value, if that brings one, is tried. Refreshes are shared and a second
// apart, however many logins are refused; one that was accepted before waits for
// the next, so that it does not fail once the password is in both places.
//
// A nil refused recognises errors with a method SQLState() string that returns
// a code of class 28, as PostgreSQL drivers have.
func Connector[T any](h *Handle[T], connect func(context.Context, T) (driver.Conn, error), refused func(error) bool) driver.Connector {
	return live.NewConnector(h.value, connect, refused)
}

// want is one value on its way: where it stands, and the reference it is. An
// err of ErrNotReference means that it is plaintext.
type want struct {
	source, value string
	ref           coord.Reference
	err           error
	found         *string // what the value itself holds, decoded: nothing is fetched
}

// settled reports whether nothing has to be fetched for w.
func (w want) settled() bool { return w.err != nil || w.found != nil }

func (r *Resolver) want(source, value string) want {
	ref, err := r.grammar.Parse(value)
	return want{source: source, value: value, ref: ref, err: err}
}

func (r *Resolver) one(ctx context.Context, w want) (Secret, error) {
	if w.err != nil {
		secrets, errs := r.all(ctx, []want{w}, false)
		return secrets[0], errs[0]
	}
	got := r.engine().pipeline.Resolve(ctx, []coord.Reference{w.ref}, cache.Cached)[0]
	secret, err := r.outcome(ctx, w, got)
	if err == nil && got.Stale == nil && got.Text != "" && w.value != "" {
		r.remember(w.value, warm{secret, got.Version.Life})
	}
	return secret, err
}

// remember makes a value known by its text.
func (r *Resolver) remember(value string, w warm) {
	if !w.life.Fresh() {
		return
	}
	if _, known := r.warm.Swap(strings.Clone(value), &w); !known && r.warmed.Add(1) > maxWarm {
		r.warm.Clear()
		r.warmed.Store(0)
	}
}

// plan tells what has to be fetched from what is settled: plaintext, and
// values that are not references although they should be.
type plan struct {
	wants   []want
	secrets []Secret
	errs    []error
	refs    []coord.Reference
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
		case errors.Is(w.err, ErrNotReference):
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
		}
	}
	return p.secrets, p.errs
}

// outcome hands out what became of a want.
func (r *Resolver) outcome(ctx context.Context, w want, got pipeline.Result) (Secret, error) {
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

// plaintext hands a value out as it is, unless Strict forbids it.
func (r *Resolver) plaintext(ctx context.Context, w want) (Secret, error) {
	switch {
	case r.opts.Strict && w.value == "":
		return Secret{}, fault.New(fault.NotReference, "the value is empty: is a variable not set?")
	case r.opts.Strict:
		return Secret{}, fault.New(fault.NotReference, "the value is plaintext, which Strict forbids")
	case strings.TrimSpace(w.value) == "":
		r.log.WarnContext(ctx, "the value is empty or blank: is a variable not set?", "source", w.source)
	}
	return NewSecret(w.value), nil
}

// fetched hands out what a backend brought.
func (r *Resolver) fetched(ctx context.Context, w want, text string) (Secret, error) {
	if text == "" {
		if r.opts.Strict {
			kind := fault.Pointer
			if w.found != nil { // it stands in the file
				kind = fault.NotReference
			}
			return Secret{}, fault.New(kind, "the secret is empty, which Strict forbids")
		}
		r.log.WarnContext(ctx, "the secret is empty", "source", w.source, "reference", w.printable())
	}
	return NewSecret(text), nil
}

// located puts the place and the reference before an error.
func (w want) located(err error) error {
	return &Error{Source: w.source, Reference: w.printable(), Err: err}
}

// printable returns the reference for messages: nothing if the value did not
// parse, or if it is for a Provider, since either may hold a password.
func (w want) printable() string {
	if w.ref.Kind == 0 || w.ref.Kind == coord.Custom || w.ref.Kind == coord.Sealed {
		return ""
	}
	return w.ref.String()
}

// custom asks the Providers.
type custom map[string]Provider

// errProvider is the kind of a Provider's own error, whose text is not
// repeated.
var errProvider = errors.New("the store failed")

// Fetch implements the pipeline's backend.
func (c custom) Fetch(ctx context.Context, g coord.Group) (pipeline.Payload, error) {
	p, ok := c[g.Class]
	if !ok {
		return pipeline.Payload{}, fault.New(fault.Unsupported, "no Provider is given for the class %q", g.Class)
	}
	text, err := p.Fetch(ctx, []byte(g.Text))
	if err == nil {
		return pipeline.Payload{Text: string(text)}, nil
	}
	if ctx.Err() != nil {
		return pipeline.Payload{}, fault.New(fault.Unavailable, "the Provider for %q did not answer in time", g.Class).Because(err)
	}
	kind := errProvider
	for _, known := range []error{ErrUnavailable, ErrNotFound, ErrDenied, ErrUnauthenticated, ErrPointer, ErrUnsupported, ErrSyntax} {
		if errors.Is(err, known) {
			kind = known
			break
		}
	}
	failed := fault.New(kind, "from the Provider for %q", g.Class).Because(err)
	if asked, ok := errors.AsType[retryAfter](err); ok {
		failed.RetryAfter = asked.RetryAfter()
	}
	return pipeline.Payload{}, failed
}

// sealedFiles reads the files that a value of an Algorithm class leads to, each
// time, so that a password that is sealed anew is seen.
type sealedFiles struct{ getenv func(string) string }

// Fetch implements the pipeline's backend.
func (f sealedFiles) Fetch(_ context.Context, g coord.Group) (pipeline.Payload, error) {
	password, err := f.algorithm(g).Open(g.Text)
	return pipeline.Payload{Text: password}, err
}

func (f sealedFiles) algorithm(g coord.Group) legacy.Algorithm {
	return legacy.Algorithm{Dir: g.Dir, Getenv: f.getenv, OnlyAES: g.Class == product.OnlyAESClass}
}

// retryAfter is what a Provider's error can be besides.
type retryAfter interface {
	error
	RetryAfter() time.Duration
}

// A Secret holds a password or another secret text. However it is printed,
// logged or encoded, it writes "[redacted]"; only Reveal returns the text. The
// zero Secret is empty. Secrets are compared with Equal; == does not compile.
// A Secret is immutable and safe for concurrent use. Its memory is not wiped.
type Secret struct {
	_ [0]func()
	v *sealed
}

// sealed hides the text in a closure, since printers of test libraries follow
// pointers into unexported fields, but cannot look into a function.
type sealed struct {
	open       func() string
	unresolved bool
}

const redacted = "[redacted]"

// NewSecret returns a Secret that holds s.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{v: &sealed{open: func() string { return s }}}
}

// Reveal returns the text. It panics if the Secret was unmarshalled and never
// resolved, see [Resolver.ResolveStruct]: its text is then a reference and not
// a password.
func (s Secret) Reveal() string {
	if s.v == nil {
		return ""
	}
	if s.v.unresolved {
		panic("secretref: Reveal of a Secret that was unmarshalled and never resolved: call ResolveStruct first")
	}
	return s.v.open()
}

// IsZero reports whether s holds no text.
func (s Secret) IsZero() bool { return s.v == nil || s.v.open() == "" }

// Equal reports whether s and o hold the same text. The time it takes does not
// depend on the texts, but for their lengths.
func (s Secret) Equal(o Secret) bool {
	a, aWaits := s.pending()
	b, bWaits := o.pending()
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 && aWaits == bWaits
}

// pending returns the text and whether it still has to be resolved.
func (s Secret) pending() (text string, unresolved bool) {
	if s.v == nil {
		return "", false
	}
	return s.v.open(), s.v.unresolved
}

// UnmarshalText holds the text of a value until [Resolver.ResolveStruct]
// resolves it. It refuses "[redacted]", which is what a Secret was printed as.
// The error is ErrSyntax.
func (s *Secret) UnmarshalText(b []byte) error {
	if string(b) == redacted {
		return &Error{Err: fault.New(fault.Syntax, "the text %q is what a secret is printed as, not a secret", redacted)}
	}
	text := string(b)
	s.v = &sealed{open: func() string { return text }, unresolved: true}
	return nil
}

// UnmarshalYAML is [Secret.UnmarshalText] for YAML libraries that know this
// method. A reference without quotes is a mapping in YAML; it is ErrSyntax, where
// some of them would leave s empty.
func (s *Secret) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if err := unmarshal(&text); err != nil { // it may quote the value
		return &Error{Err: fault.New(fault.Syntax, "a secret is a text in YAML: put a reference in single quotes")}
	}
	return s.UnmarshalText([]byte(text))
}

// Format writes "[redacted]" for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// LogValue returns "[redacted]".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]".
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary returns "[redacted]".
func (s Secret) MarshalBinary() ([]byte, error) { return []byte(redacted), nil }

// A Product is one of the products whose configuration files are read.
type Product string

// The products.
const (
	Jira       Product = "jira"       // dbconfig.xml
	Confluence Product = "confluence" // confluence.cfg.xml
	Bitbucket  Product = "bitbucket"  // bitbucket.properties
	Bamboo     Product = "bamboo"     // bamboo.cfg.xml
	Crowd      Product = "crowd"      // crowd.cfg.xml
)

// A Config is what a product's configuration file says. Nothing in it is
// resolved; its values may be passwords, and it prints none of them.
type Config struct {
	Product Product
	Path    string
	Entries []Entry // in file order
}

// An Entry is one setting, decoded as the product does. In XML files its key
// is the path of the element below the root ("jdbc-datasource/password") or
// the name of the property. It prints as key:line.
type Entry struct {
	Key, Value string
	Line       int
}

// ReadConfig reads a product's configuration file, or the one in a product's
// home directory, where the product itself looks for it. It resolves nothing
// and reads nothing but that file. Errors: ErrNotFound, ErrDenied (the file's
// permissions), ErrUnavailable (reading failed), ErrSyntax (with the line), ErrUnsupported (another kind of
// file, two products' files in one directory, a DOCTYPE with a subset or an
// external id, more than 4 MiB, a JNDI data source).
func ReadConfig(path string) (*Config, error) {
	f, err := product.Read(path)
	if err != nil {
		if f != nil {
			path = f.Path
		}
		return nil, &Error{Source: path, Err: err}
	}
	c := &Config{Product: Product(f.Product), Path: f.Path, Entries: make([]Entry, len(f.Entries))}
	for i, e := range f.Entries {
		c.Entries[i] = Entry(e)
	}
	return c, nil
}

// Get returns the value of key as the product sees it, not resolved: of several
// entries the last one in bitbucket.properties and *.cfg.xml, the first one in
// dbconfig.xml.
func (c *Config) Get(key string) (string, bool) {
	e, ok := product.Find(product.Product(c.Product), c.entries(), key)
	return e.Value, ok
}

func (c *Config) entries() []product.Entry {
	entries := make([]product.Entry, len(c.Entries))
	for i, e := range c.Entries {
		entries[i] = product.Entry(e)
	}
	return entries
}

// String returns the product, the path and the number of entries.
func (c Config) String() string {
	return fmt.Sprintf("%s %s (%d entries)", c.Product, c.Path, len(c.Entries))
}

// Format writes what String returns, for every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue returns what String returns.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// String returns key:line.
func (e Entry) String() string { return fmt.Sprintf("%s:%d", e.Key, e.Line) }

// Format writes key:line, for every verb.
func (e Entry) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.String()) }

// LogValue returns key:line.
func (e Entry) LogValue() slog.Value { return slog.StringValue(e.String()) }

// MarshalText returns key:line.
func (e Entry) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// MarshalBinary returns key:line.
func (e Entry) MarshalBinary() ([]byte, error) { return []byte(e.String()), nil }

// Settings are what a configuration file says once it is resolved.
type Settings struct {
	Product  Product
	Database Database
	// Secrets has every entry that was resolved, the password's among them, by
	// its key.
	Secrets map[string]Secret
}

// String returns the product, the database without any password, and how many
// secrets there are.
func (s Settings) String() string {
	return fmt.Sprintf("%s %v (secrets: %d)", s.Product, s.Database, len(s.Secrets))
}

// Format writes what String returns, for every verb.
func (s Settings) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue returns what String returns.
func (s Settings) LogValue() slog.Value { return slog.StringValue(s.String()) }

// A Database is what is needed to reach a product's database. It prints
// without its password, also where the URL carries one.
type Database struct {
	Driver   string // the JDBC driver's class
	URL      string // the JDBC URL; it may carry a password of its own
	Username string
	Schema   string
	Password Secret

	properties string // what the file gives to the JDBC driver beside the URL
}

// masked returns d without what must not be printed, in a type without methods.
func (d Database) masked() any {
	return struct{ Driver, URL, Username, Schema, Password string }{d.Driver, jdbc.Mask(d.URL), d.Username, d.Schema, redacted}
}

// String returns the fields, without any password.
func (d Database) String() string { return fmt.Sprintf("%+v", d.masked()) }

// Format writes what String returns, for every verb.
func (d Database) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, d.String()) }

// LogValue returns what String returns.
func (d Database) LogValue() slog.Value { return slog.StringValue(d.String()) }

// MarshalText returns what String returns.
func (d Database) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// MarshalBinary returns what String returns.
func (d Database) MarshalBinary() ([]byte, error) { return []byte(d.String()), nil }

// DSN returns the name of a Go driver and the data source that opens the
// database as the product opens it: "pgx" (github.com/jackc/pgx/v5/stdlib;
// github.com/lib/pq understands it from 1.12 on), "mysql"
// (github.com/go-sql-driver/mysql, also for MariaDB) or "sqlserver"
// (github.com/microsoft/go-mssqldb). The caller imports the driver. Neither the
// environment (PGHOST, PGPASSWORD, ~/.pgpass) nor the driver's defaults change
// where, as whom or with which password one connects.
//
// The data source leads to the same database, as the same user, at least as
// securely as the JDBC URL, or there is none: Oracle, H2 and other databases, and
// options that say where, as whom or how securely to connect and have no equal,
// are ErrUnsupported, and dsn is zero. Where only other options have no equal,
// such as those that tune the JDBC driver, dsn is complete, and err, which is
// ErrUnsupported as well, names them. So a caller fails if dsn is zero, and else
// logs err. A URL that is malformed, or that contradicts Driver, Username or
// Password, is ErrSyntax. Jira's connection-properties, and further properties
// hibernate.connection.… of the others, count as options of the URL in a Database
// that [Resolver.ResolveConfig] returned. DSN panics, as Reveal does, if Password
// was unmarshalled and never resolved.
func (d Database) DSN() (driver string, dsn Secret, err error) {
	driver, source, err := jdbc.Source(jdbc.Database{
		Driver: d.Driver, URL: d.URL, Username: d.Username, Password: d.Password.Reveal(), Schema: d.Schema,
		Properties: d.properties,
	})
	if err != nil {
		err = &Error{Source: "database", Err: err}
	}
	if source != "" {
		dsn = NewSecret(source)
	}
	return driver, dsn, err
}

// ResolveConfig resolves the password of a configuration file, and in
// bitbucket.properties every value with the prefix {ENC}. The cipher class in
// the file decides how, wherever it stands: with an AWS or Vault class the
// value must be coordinates of that backend, with a Base64 or Algorithm class
// the file holds the password itself, or leads to the files that do, a
// Provider's class gets the text verbatim, and without a class a reference is
// resolved and anything else is plaintext. It returns what could be resolved, never nil, beside the joined
// errors, each naming file, line and key.
func (r *Resolver) ResolveConfig(ctx context.Context, c *Config) (*Settings, error) {
	p, err := r.planConfig(c)
	if err != nil {
		return p.settings(nil, nil), err
	}
	secrets, errs := r.all(ctx, p.wants, false)
	settings := p.settings(secrets, errs)
	return settings, errors.Join(append(errs, r.passwordMissing(ctx, c, p.layout))...)
}

// HandleConfig is [Resolver.ResolveConfig] for Settings that are kept up to
// date: when a secret changes there are new Settings, and those handed out
// before stay as they are. The configuration file is not read again; the files
// that an Algorithm class leads to are.
func (r *Resolver) HandleConfig(ctx context.Context, c *Config) (*Handle[*Settings], error) {
	p, err := r.planConfig(c)
	if err == nil {
		err = r.passwordMissing(ctx, c, p.layout)
	}
	if err != nil {
		return nil, err
	}
	return watch(ctx, r, p.wants, func(secrets []Secret) *Settings { return p.settings(secrets, make([]error, len(secrets))) })
}

// configPlan is what has to be resolved for a configuration file.
type configPlan struct {
	plain  Settings // without what is resolved
	layout product.Layout
	items  []product.Item
	wants  []want // of each of items
}

func (r *Resolver) planConfig(c *Config) (configPlan, error) {
	p, entries := product.Product(c.Product), c.entries()
	layout := product.LayoutOf(p)
	plan := configPlan{layout: layout, plain: Settings{Product: c.Product, Database: Database{
		Driver:   product.Text(p, entries, layout.Driver),
		URL:      product.Text(p, entries, layout.URL),
		Username: product.Text(p, entries, layout.Username),
		Schema:   product.Text(p, entries, layout.Schema),

		properties: product.Properties(p, entries),
	}}}
	file := string(c.Product)
	if c.Path != "" {
		file = filepath.Base(c.Path)
	}
	var err error
	if plan.items, err = product.Items(p, entries); err != nil {
		return plan, &Error{Source: file, Err: err}
	}
	plan.wants = make([]want, len(plan.items))
	for i, item := range plan.items {
		plan.wants[i] = r.wantItem(c.Path, item)
		plan.wants[i].source = fmt.Sprintf("%s:%d: %s", file, item.Line, item.Key)
	}
	return plan, nil
}

// settings puts together what became of the items.
func (p configPlan) settings(secrets []Secret, errs []error) *Settings {
	settings := p.plain
	settings.Secrets = map[string]Secret{}
	fetched := !malformed(p.wants)
	for i := range secrets {
		item := p.items[i]
		var secret Secret
		if resolved := errs[i] == nil && (fetched || p.wants[i].settled()); resolved {
			secret = secrets[i]
			settings.Secrets[item.Key] = secret
		}
		// A URL or user name can be a reference too, which is none of either.
		switch db := &settings.Database; item.Key {
		case p.layout.Password:
			db.Password = secret
		case p.layout.URL:
			db.URL = secret.Reveal()
		case p.layout.Username:
			db.Username = secret.Reveal()
		case p.layout.Driver:
			db.Driver = secret.Reveal()
		}
	}
	return &settings
}

// passwordMissing tells of a database without a password, which some are
// reached without.
func (r *Resolver) passwordMissing(ctx context.Context, c *Config, layout product.Layout) error {
	if _, ok := c.Get(layout.Password); ok {
		return nil
	}
	if url, _ := c.Get(layout.URL); url == "" {
		return nil
	}
	if r.opts.Strict {
		return &Error{Source: c.Path, Err: fault.New(fault.NotReference, "%s is missing, which Strict forbids", layout.Password)}
	}
	r.log.WarnContext(ctx, "the file names a database and no password", "source", c.Path, "missing", layout.Password)
	return nil
}

// wantItem parses a value of a configuration file as its class says. What needs
// no backend it finds at once.
func (r *Resolver) wantItem(path string, item product.Item) want {
	w := want{value: item.Text}
	if coord.IsPlaceholder(item.Text) {
		w.err = coord.PlaceholderFault()
		return w
	}
	switch store := product.StoreOf(item.Class); store {
	case product.NoStore:
		return r.want("", item.Text)
	case product.AWSStore, product.VaultStore:
		w.ref, w.err = r.grammar.Coordinates(item.Value) // with its prefix, which has two forms
		if w.err == nil && w.ref.Kind != store.Kind() {
			w.err = fault.New(fault.Syntax, "the value has coordinates of %s, but the class %s reads those of %s",
				coord.BackendName(w.ref.Kind), item.Class, coord.BackendName(store.Kind()))
		}
	case product.CustomStore:
		w.ref = coord.Reference{Kind: coord.Custom, Class: item.Class, Text: item.Text}
		if _, ok := r.providers[item.Class]; !ok {
			w.err = unknownClass(item.Class)
		}
	case product.Base64Store:
		text, err := legacy.Base64(item.Text)
		w.found, w.err = &text, err
	case product.AlgorithmStore:
		w.ref = coord.Reference{Kind: coord.Sealed, Class: item.Class, Text: item.Text, Dir: filepath.Dir(path)}
		_, w.err = r.sealed.algorithm(w.ref.Group()).Files(item.Text)
	}
	return w
}

// unknownClass repeats only what looks like a class: where class and password
// are swapped it is the password.
func unknownClass(class string) error {
	if !product.LooksLikeClass(class) {
		return fault.New(fault.Unsupported, "what stands in the place of the class is not the name of one: are class and password swapped?")
	}
	return fault.New(fault.Unsupported, "the class %q is none of the products' own; is it misspelt? A program can read a custom one with a Provider", class)
}

// A Fake stands in for all backends but Providers in tests of programs that use
// this package: give it to Options.Fake. What it is told anew shows as with a
// real backend: when the TTL has passed or a [Handle] is refreshed, or at once
// with a negative TTL. It is safe for concurrent use.
type Fake struct {
	mu     sync.Mutex
	values map[coord.Reference]Secret
	fails  map[coord.Reference]error
	calls  int
}

// NewFake returns a Fake that knows nothing: every reference is ErrNotFound.
func NewFake() *Fake {
	return &Fake{values: map[coord.Reference]Secret{}, fails: map[coord.Reference]error{}}
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

func mustParse(reference string) coord.Reference {
	var g coord.Grammar
	ref, err := g.Parse(reference)
	if err != nil {
		panic("secretref: the Fake was given a text that is not a reference")
	}
	return ref
}

// fakeBackend is a Fake at the place of a backend.
type fakeBackend struct{ *Fake }

func (f fakeBackend) Fetch(_ context.Context, g coord.Group) (pipeline.Payload, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	for ref, err := range f.fails {
		if ref.Group() == g {
			return pipeline.Payload{}, (&fault.Error{Kind: err}).Final()
		}
	}
	values := map[string]string{}
	for ref, text := range f.values {
		if ref.Group() == g {
			values[ref.Pointer+ref.Key] = text.Reveal()
		}
	}
	if len(values) == 0 {
		return pipeline.Payload{}, fault.New(fault.NotFound, "the Fake was not told of it")
	}
	later := func(key string) (string, bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for ref, text := range f.values {
			if ref.Group() == g && ref.Pointer+ref.Key == key {
				return text.Reveal(), true
			}
		}
		return "", false
	}
	return pipeline.Payload{Values: values, Later: later}, nil
}
