package secretref

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

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
	pipeline *fetch.Fetcher
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
		s.addProvider(p)
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
		Log: r.open().log, OnFetch: observer(opts.OnFetch)}
	if amazon, ok := backends[ref.AWS].(fetch.BatchBackend); ok && opts.AWS.Batch {
		s.Batch = amazon
	}
	if opts.LastKnown != nil {
		s.Known = lastknown.New(lastKnownStore{opts.LastKnown}, opts.scope, r.open().log)
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
		return map[ref.Kind]fetch.Backend{ref.AWS: fake, ref.Vault: fake, ref.Keyring: fake, ref.Custom: providerBackend(r.open().providers), ref.CipherFile: r.open().sealed}, nil
	}
	policy := &httpguard.Policy{Allow: opts.AllowEndpoint, Log: r.open().log}
	v := opts.Vault
	amazon := awssm.New(opts.AWS.Config, policy, r.open().log)
	vault := vaultkv.New(vaultkv.Settings{Token: v.Token, Auth: v.Auth, NoToken: v.NoToken, RenewToken: v.RenewToken, Role: v.Role, AuthPath: v.AuthPath, JWTPath: v.JWTPath,
		Namespace: v.Namespace, Timeout: opts.timeout()}, policy, r.open().log)
	backends = map[ref.Kind]fetch.Backend{
		ref.AWS:        amazon,
		ref.Vault:      vault,
		ref.Custom:     providerBackend(r.open().providers),
		ref.CipherFile: r.open().sealed,
	}
	if opts.Keyring != nil {
		backends[ref.Keyring] = keyringBackend{opts.Keyring}
	}
	return backends, []interface{ Close() }{amazon, vault}
}

// Close ends all fetches under way and waits for them. Their callers, and later
// ones whose value has to be fetched, get ErrClosed. Lives keep their values,
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
	return parseResult(r.open().grammar.Parse(value))
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
		w.ref = ref.toRef()
	case VaultReference:
		w.ref = ref.toRef()
	case KeyringReference:
		w.ref = ref.toRef()
	case CustomReference:
		w.ref = ref.toRef()
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
	got := r.engine().pipeline.Resolve(ctx, []ref.Reference{w.ref}, cache.UseCached)[0]
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
		for n, got := range r.engine().pipeline.ResolveAll(ctx, p.refs, cache.UseCached) {
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
	if w.ref.Kind == 0 || w.ref.Kind == ref.Custom || w.ref.Kind == ref.CipherFile {
		return ""
	}
	return w.ref.String()
}

// sealedFiles reads the files that a value of an Algorithm class leads to, each
// time, so that a password that is sealed anew is seen.
type sealedFiles struct{ getenv func(string) string }

// Fetch implements the pipeline's backend.
func (f sealedFiles) Fetch(_ context.Context, g ref.Target) (fetch.Document, error) {
	password, err := f.algorithm(g).Open(g.Text)
	return fetch.Document{Text: password}, err
}

func (f sealedFiles) algorithm(g ref.Target) cipher.Algorithm {
	return cipher.Algorithm{Dir: g.Dir, Getenv: f.getenv, OnlyAES: g.Class == atlassian.OnlyAESClass}
}
