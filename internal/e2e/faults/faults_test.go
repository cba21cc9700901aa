package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// The values of the secret, before and after.
const (
	canary = "c4nary"
	first  = canary + "-1"
	second = canary + "-2"
)

const (
	// slack is what a busy machine may add to a wait.
	slack = 3 * time.Second
	// ttl is for those who want the value in hand to be old at once, and after
	// that it is.
	ttl, old = 50 * time.Millisecond, 250 * time.Millisecond
	// patience is how long a caller may wait with a good value in hand.
	patience = 3 * time.Second
	// pause is how long at least nobody asks again after an attempt in vain.
	pause = 500 * time.Millisecond
)

// A fault is something that goes wrong between a caller and a secret.
type fault struct {
	name string
	setup
	own  bool // the server is not shared
	pair bool // it is one of two
	only string

	begin, end func(w *world)

	// kind is what a caller is told who has nothing in hand; nil: nothing, the
	// value comes.
	kind error
	// hangs: an attempt ends with its time. All others end at once.
	hangs bool
	// lasting: there is no use in a second attempt within the time there is.
	lasting bool
	// asked is for how long the server wants to be left alone.
	asked time.Duration
}

// covered reports whether a value that is in hand stands in.
func (f fault) covered() bool { return f.kind == secretref.ErrUnavailable }

// tries is how many attempts there are at most for a caller with nothing in
// hand, with the timeout that begins there.
func (f fault) tries() (most int, timeout time.Duration) {
	if f.lasting || f.kind == nil {
		return 1, 20 * time.Second
	}
	return 7, 2*time.Second + 2*f.asked // after 0.05 s at least, then 0.1 s, 0.2 s …
}

// toxic is a fault of the connection.
func toxic(text string) func(*world) {
	return func(w *world) { w.poison(text) }
}

func cure(w *world) { w.poison() }

func openGate(w *world) { w.gate.intercept(nil) }

var all = []fault{
	{
		name:  "latency within the time there is",
		begin: toxic(`{"type":"latency","attributes":{"latency":300}}`), end: cure,
	},
	{
		name:  "latency",
		begin: toxic(`{"type":"latency","attributes":{"latency":60000}}`), end: cure,
		kind: secretref.ErrUnavailable, hangs: true,
	},
	{
		name:  "slow bytes",
		begin: toxic(`{"type":"slicer","attributes":{"average_size":1,"delay":20000}}`), end: cure,
		kind: secretref.ErrUnavailable, hangs: true,
	},
	{
		name:  "reset",
		begin: toxic(`{"type":"reset_peer","attributes":{"timeout":0}}`), end: cure,
		kind: secretref.ErrUnavailable,
	},
	{
		name:  "half an answer",
		begin: toxic(`{"type":"limit_data","attributes":{"bytes":2000}}`), end: cure,
		kind: secretref.ErrUnavailable,
	},
	{
		name:  "closed port",
		begin: func(w *world) { w.proxy.Stop() }, end: cure,
		kind: secretref.ErrUnavailable,
	},
	{
		name: "429, in a second", only: "vault",
		begin: func(w *world) { w.answers(429, "request path quota exceeded", http.Header{"Retry-After": {"1"}}) }, end: openGate,
		kind: secretref.ErrUnavailable, asked: time.Second,
	},
	{
		name: "429, in a second", only: "aws",
		begin: func(w *world) { w.answers(429, "ThrottlingException", http.Header{"Retry-After": {"1"}}) }, end: openGate,
		kind: secretref.ErrUnavailable, asked: time.Second,
	},
	{
		name: "429, in an hour", only: "vault",
		begin: func(w *world) { w.answers(429, "request path quota exceeded", http.Header{"Retry-After": {"3600"}}) }, end: openGate,
		kind: secretref.ErrUnavailable, asked: time.Hour, lasting: true,
	},
	{
		name: "429, in an hour", only: "aws",
		begin: func(w *world) { w.answers(429, "ThrottlingException", http.Header{"Retry-After": {"3600"}}) }, end: openGate,
		kind: secretref.ErrUnavailable, asked: time.Hour, lasting: true,
	},
	{
		name: "503, sealed", only: "vault", own: true,
		begin: func(w *world) { w.vault.seal() }, end: func(w *world) { w.vault.unsealAgain() },
		kind: secretref.ErrUnavailable,
	},
	{
		name: "503", only: "aws",
		begin: func(w *world) { w.answers(503, "ServiceUnavailable", nil) }, end: openGate,
		kind: secretref.ErrUnavailable,
	},
	{
		name: "a name that does not resolve", setup: setup{named: true},
		begin: func(w *world) { directory.know(w.name, false); w.poison() },
		end:   func(w *world) { directory.know(w.name, true) },
		kind:  secretref.ErrUnavailable,
	},
	{
		name: "a certificate that is not trusted", setup: setup{secure: true},
		begin: func(w *world) { w.gate.strange.Store(true); w.poison() },
		end:   func(w *world) { w.gate.strange.Store(false) },
		kind:  secretref.ErrUnavailable, lasting: true,
	},
	{
		name: "a token revoked mid-flight", only: "vault",
		begin: revokeMidFlight, end: func(w *world) { w.renew() },
		kind: secretref.ErrUnauthenticated, lasting: true,
	},
	{
		name: "a standby that redirects", only: "vault", pair: true,
		begin: standBy, end: openGate,
		kind: secretref.ErrUnavailable, lasting: true,
	},
	{
		name: "a standby that redirects to where it may", only: "vault", pair: true, setup: setup{allow: func(*url.URL) error { return nil }},
		begin: standBy, end: openGate,
	},
	{
		name: "denied", only: "vault",
		begin: func(w *world) { w.vault.allow(w.name, "deny") }, end: func(w *world) { w.vault.allow(w.name, "read") },
		kind: secretref.ErrDenied, lasting: true,
	},
	{
		name: "denied", only: "aws",
		begin: func(w *world) { w.aws.Deny("secretsmanager:GetSecretValue", w.name) },
		end:   func(w *world) { w.aws.Allow("secretsmanager:GetSecretValue", w.name) },
		kind:  secretref.ErrDenied, lasting: true,
	},
	{
		name: "not found", only: "vault",
		begin: func(w *world) { w.vault.must("DELETE", "secret/data/"+w.name, nil) },
		end:   func(w *world) { w.put(second) },
		kind:  secretref.ErrNotFound, lasting: true,
	},
	{
		name: "not found", only: "aws",
		begin: func(w *world) { w.aws.DeleteSecret(region, w.name) }, end: func(w *world) { w.aws.RestoreSecret(region, w.name) },
		kind: secretref.ErrNotFound, lasting: true,
	},
}

// revokeMidFlight revokes the token when the next call that shows it is on its
// way.
func revokeMidFlight(w *world) {
	var once sync.Once
	w.gate.intercept(func(http.ResponseWriter, *http.Request) bool {
		once.Do(func() { w.vault.revoke(w.token) })
		return false
	})
}

// standBy makes the other node of a pair the one that is asked.
func standBy(w *world) {
	forward := forwarder(w.t, w.standby.url)
	w.gate.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		forward.ServeHTTP(rw, r)
		return true
	})
}

// renew puts a new token in the place of the old one.
func (w *world) renew() {
	token := w.vault.mint(w.name)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.token = token
}

// A state is what the caller has in hand when the fault begins.
type state struct {
	name string
	fits func(fault) bool
	test func(w *world, f fault)
}

var states = []state{
	{"cold", func(fault) bool { return true }, cold},
	{"healing", func(f fault) bool { return f.covered() && !f.lasting }, healing},
	{"warm", func(fault) bool { return true }, warm},
	{"hurried", func(f fault) bool { return f.hangs }, hurried},
	{"too old", func(f fault) bool { return f.kind != nil }, tooOld},
	{"handle", func(fault) bool { return true }, handle},
}

func TestFaults(t *testing.T) {
	vault, aws := startVault(t), startAWS(t)
	active, standby := startPair(t)
	for _, f := range all {
		for _, backend := range []string{"vault", "aws"} {
			if f.only != "" && f.only != backend {
				continue
			}
			for _, s := range states {
				if !s.fits(f) {
					continue
				}
				// All worlds are made before the first fault begins, so that none takes
				// the port of another.
				t.Run(f.name+"/"+backend+"/"+s.name, func(t *testing.T) {
					var w *world
					switch {
					case backend == "vault" && f.own:
						w = newVaultWorld(t, startVault(t), f.setup)
					case f.pair:
						w = newVaultWorld(t, active, f.setup)
						w.standby = standby
					case backend == "vault":
						w = newVaultWorld(t, vault, f.setup)
					case f.own:
						w = newAWSWorld(t, startAWS(t), f.setup)
					default:
						w = newAWSWorld(t, aws, f.setup)
					}
					t.Parallel()
					s.test(w, f)
				})
			}
		}
	}
}

// An answer can be broken off anywhere: in the status line, in the headers, in
// the body. The next attempt is made, whatever the piece looks like.
func TestAnAnswerThatIsCutOffAnywhereIsAskedForAgain(t *testing.T) {
	vault, aws := startVault(t), startAWS(t)
	for bytes := 1; bytes < 5000; bytes += 1 + max(0, bytes-14)/6 {
		for _, backend := range []string{"vault", "aws"} {
			t.Run(fmt.Sprint(backend, " after ", bytes), func(t *testing.T) {
				var w *world
				if backend == "vault" {
					w = newVaultWorld(t, vault, setup{})
				} else {
					w = newAWSWorld(t, aws, setup{})
				}
				t.Parallel()
				w.poison(fmt.Sprintf(`{"type":"limit_data","attributes":{"bytes":%d}}`, bytes))
				r := w.resolver(secretref.Options{Timeout: 20 * time.Second})
				done := make(chan outcome, 1)
				go func() { done <- w.ask(r) }()
				require.Eventually(t, func() bool { return w.gate.calls.Load() > 1 || len(done) > 0 }, 10*time.Second, time.Millisecond)
				w.poison()
				got := <-done
				require.NoError(t, got.err)
				require.Equal(t, first, got.value)
			})
		}
	}
}

// cold: with nothing in hand a caller is told what is wrong, in time.
func cold(w *world, f fault) {
	most, timeout := f.tries()
	r := w.resolver(secretref.Options{Timeout: timeout})
	before := w.tally()
	f.begin(w)
	w.inVain(f, w.ask(r), before, most, timeout)
}

// inVain checks what a caller got who had nothing in hand.
func (w *world) inVain(f fault, got outcome, before tally, most int, timeout time.Duration) {
	w.t.Helper()
	if f.kind == nil {
		require.NoError(w.t, got.err)
		require.Equal(w.t, first, got.value)
	} else {
		w.fails(got.err, f.kind)
		require.Empty(w.t, got.value)
	}
	if f.lasting {
		timeout = 0
	}
	require.Less(w.t, got.waited, timeout+slack)
	counted := w.bounded(before, most)
	require.GreaterOrEqual(w.t, counted.attempts, 1)
	if !f.lasting && !f.hangs && f.kind != nil {
		require.Greater(w.t, counted.attempts, 1)
	}
	w.t.Logf("waited %v: %v", got.waited.Round(time.Millisecond), counted)
}

// healing: a caller with nothing in hand gets the value when the fault ends in
// time, and no sooner than the server asked for.
func healing(w *world, f fault) {
	r := w.resolver(secretref.Options{Timeout: 20 * time.Second})
	before := w.tally()
	f.begin(w)
	done := make(chan outcome)
	go func() { done <- w.ask(r) }()
	time.Sleep(300 * time.Millisecond)
	f.end(w)
	got := <-done
	require.NoError(w.t, got.err)
	require.Equal(w.t, first, got.value)
	require.Greater(w.t, got.waited, f.asked)
	require.Less(w.t, got.waited, 20*time.Second)
	w.t.Logf("waited %v: %v", got.waited.Round(time.Millisecond), w.bounded(before, 10))
}

// warm: the time of the value in hand is up when the fault begins. It is used
// where the backend is unavailable; whoever is told so does not ask again for a
// while.
func warm(w *world, f fault) {
	r := w.resolver(secretref.Options{TTL: ttl, Timeout: 20 * time.Second})
	w.gets(r, first)
	w.put(second)
	f.begin(w)
	time.Sleep(old)
	before := w.tally()

	crowd := make([]outcome, 20)
	var wg sync.WaitGroup
	for i := range crowd {
		wg.Go(func() { crowd[i] = w.ask(r) })
	}
	wg.Wait()
	longest := time.Duration(0)
	for _, got := range crowd {
		longest = max(longest, got.waited)
		switch {
		case f.kind == nil:
			require.NoError(w.t, got.err)
			require.Equal(w.t, second, got.value)
		case f.covered():
			require.NoError(w.t, got.err)
			require.Equal(w.t, first, got.value)
		default:
			w.fails(got.err, f.kind)
			require.Empty(w.t, got.value)
		}
	}
	limit := slack
	if f.hangs {
		limit = patience + slack
	}
	require.Less(w.t, longest, limit)
	// All share one attempt, but for those who come when it has just ended: what
	// is not covered up they ask for themselves.
	most := len(crowd)
	if f.covered() {
		most = 2
	}
	counted := w.bounded(before, most)
	w.t.Logf("the crowd waited up to %v: %v", longest.Round(time.Millisecond), counted)

	if f.covered() {
		w.pauses(r, f, before)
	}
	f.end(w)
	if f.asked <= time.Minute {
		start := time.Now()
		w.becomes(r, second)
		w.t.Logf("the new value came after %v", time.Since(start).Round(time.Millisecond))
	}
}

// hurried: a caller who has less time than an attempt takes gets the value in
// hand when it is up; who comes next need not wait.
func hurried(w *world, f fault) {
	r := w.resolver(secretref.Options{TTL: ttl, Timeout: 20 * time.Second})
	w.gets(r, first)
	w.put(second)
	f.begin(w)
	time.Sleep(old)
	before := w.tally()
	ctx, cancel := context.WithTimeout(w.t.Context(), 300*time.Millisecond)
	defer cancel()
	got := w.askWith(ctx, r)
	require.NoError(w.t, got.err)
	require.Equal(w.t, first, got.value)
	next := w.ask(r)
	require.NoError(w.t, next.err)
	require.Equal(w.t, first, next.value)
	require.Less(w.t, got.waited+next.waited, patience)
	counted := w.since(before) // the attempt itself may end a moment later
	require.LessOrEqual(w.t, counted.calls, 1)
	w.t.Logf("waited %v, and the next one %v: %v", got.waited.Round(time.Millisecond), next.waited.Round(time.Microsecond), counted)
	f.end(w)
	w.becomes(r, second)
}

func (w *world) gets(r *secretref.Resolver, want string) {
	w.t.Helper()
	got := w.ask(r)
	require.NoError(w.t, got.err)
	require.Equal(w.t, want, got.value)
}

// becomes waits until there is a value.
func (w *world) becomes(r *secretref.Resolver, want string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return w.ask(r).value == want }, 20*time.Second, 10*time.Millisecond)
}

// pauses checks that nobody waits, and nobody asks, until the pause after an
// attempt in vain has ended; and how often they ask after that.
func (w *world) pauses(r *secretref.Resolver, f fault, before tally) {
	w.t.Helper()
	attempts := w.since(before).attempts
	until := w.tally().ended.Add(max(pause, min(f.asked, time.Minute)))
	asks, longest := 0, time.Duration(0)
	for start := time.Now(); time.Until(until) > 50*time.Millisecond && time.Since(start) < 2*time.Second; time.Sleep(time.Millisecond) {
		got := w.ask(r)
		require.NoError(w.t, got.err)
		require.Equal(w.t, first, got.value)
		asks, longest = asks+1, max(longest, got.waited)
	}
	if time.Now().Before(until) {
		require.Equal(w.t, attempts, w.since(before).attempts)
	}
	require.Less(w.t, longest, time.Second)
	if !f.hangs {
		// The pauses double: 0.5 s at least, then 1 s.
		for start := time.Now(); time.Since(start) < time.Second; time.Sleep(10 * time.Millisecond) {
			require.Equal(w.t, first, w.ask(r).value)
		}
		w.bounded(before, attempts+2)
	}
	w.t.Logf("%d later calls waited up to %v: %v", asks, longest.Round(10*time.Microsecond), w.since(before))
}

// tooOld: what is in hand may not be used, and it is as if there were nothing.
func tooOld(w *world, f fault) {
	most, timeout := f.tries()
	r := w.resolver(secretref.Options{TTL: ttl, MaxStale: -1, Timeout: timeout})
	w.gets(r, first)
	f.begin(w)
	time.Sleep(old)
	before := w.tally()
	// The first attempt may be lost to a connection that has been broken off.
	w.inVain(f, w.ask(r), before, most+1, timeout)
}

// handle: a Handle keeps its value through everything, tells what is wrong, and
// has the new value when it is over.
func handle(w *world, f fault) {
	const longer = 300 * time.Millisecond
	r := w.resolver(secretref.Options{TTL: longer, Timeout: 20 * time.Second})
	h, err := r.Watch(w.t.Context(), w.ref)
	require.NoError(w.t, err)
	start, before := time.Now(), w.tally()
	f.begin(w)
	if f.kind != nil {
		w.waits(h, func(value string, err error) bool {
			require.Equal(w.t, first, value)
			return errors.Is(err, f.kind)
		})
		told := time.Since(start)
		_, err = h.Status()
		w.fails(err, f.kind)

		asked := time.Now()
		got, err := h.Refresh(w.t.Context())
		w.fails(err, f.kind)
		require.Equal(w.t, first, got.Reveal())
		require.Less(w.t, time.Since(asked), patience+slack)
		w.t.Logf("told after %v; a refresh in vain took %v", told.Round(time.Millisecond), time.Since(asked).Round(time.Millisecond))
	}
	f.end(w)
	w.put(second)
	ended := time.Now()
	if f.asked > time.Minute {
		got, err := h.Refresh(w.t.Context()) // whose caller knows better
		require.NoError(w.t, err)
		require.Equal(w.t, second, got.Reveal())
	}
	w.waits(h, func(value string, err error) bool { return value == second && err == nil })
	counted := w.bounded(before, 3+int(time.Since(start)/(longer/2)))
	w.t.Logf("the new value came after %v, %v in all: %v", time.Since(ended).Round(time.Millisecond), time.Since(start).Round(time.Millisecond), counted)
}

// waits looks at a Handle until it is as it should be. To look never takes time.
func (w *world) waits(h *secretref.Live[secretref.Secret], until func(value string, err error) bool) {
	w.t.Helper()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		looked := time.Now()
		value := h.Value().Reveal()
		_, err := h.Status()
		require.Less(w.t, time.Since(looked), time.Second)
		if until(value, err) {
			return
		}
		require.Less(w.t, time.Since(start), 2*time.Minute, "%v", err)
	}
}
