package keyring_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// A process with these variables works on a keyring until it is killed: see
// victim.
const (
	victimDriver  = "SECRETREF_VICTIM_DRIVER"
	victimDSN     = "SECRETREF_VICTIM_DSN"
	victimDialect = "SECRETREF_VICTIM_DIALECT"
	victimRoot    = "SECRETREF_VICTIM_ROOT"
	victimRound   = "SECRETREF_VICTIM_ROUND"
	victimKeeps   = "SECRETREF_VICTIM_KEEPS_ROOT" // if it is "true"
)

// victim writes secrets and changes keys at the same time, and says on standard
// output what it begins and what it has done.
func victim() error {
	ctx := context.Background()
	db, err := sql.Open(os.Getenv(victimDriver), os.Getenv(victimDSN))
	if err != nil {
		return err
	}
	dialect, err := strconv.Atoi(os.Getenv(victimDialect))
	if err != nil {
		return err
	}
	var k *secretref.Keyring
	err = saying("open", "-", "", func() (err error) {
		opts := secretref.KeyringOptions{RootKey: secretref.NewSecret(os.Getenv(victimRoot)), Logger: logger(os.Stderr)}
		k, err = secretref.OpenKeyring(ctx, secretref.SQLStore(db, secretref.Dialect(dialect)), &opts)
		return err
	})
	if err != nil {
		return err
	}
	failed := make(chan error)
	go func() { failed <- write(ctx, k) }()
	go func() { failed <- changeKeys(ctx, k) }()
	return <-failed
}

// saying says what it is about to do, does it, and says that it is done. Each
// line is written at once, and so is whole.
func saying(op, name, mark string, do func() error) error {
	fmt.Println("begin", op, name, mark)
	err := do()
	if err == nil {
		fmt.Println("end", op, name, mark)
	}
	return err
}

func write(ctx context.Context, k *secretref.Keyring) error {
	for i := 0; ; i++ {
		name, mark := fmt.Sprintf("secret-%d", rand.IntN(24)), fmt.Sprintf("%s.%d", os.Getenv(victimRound), i)
		var err error
		if i%5 == 4 {
			err = saying("delete", name, "", func() error {
				err := k.Delete(ctx, name)
				if errors.Is(err, secretref.ErrNotFound) {
					return nil
				}
				return err
			})
		} else {
			err = saying("put", name, mark, func() error {
				return k.Put(ctx, name, secretref.NewSecret(canary+marked(mark)))
			})
		}
		if err != nil {
			return fmt.Errorf("writing: %w", err)
		}
	}
}

// marked returns the text with the mark: up to some pages long.
func marked(mark string) string {
	return mark + strings.Repeat(".", int(mark[len(mark)-1]-'0')*1300)
}

func changeKeys(ctx context.Context, k *secretref.Keyring) error {
	for {
		err := errors.Join(
			saying("rotate", "-", "", func() error { _, err := k.Rotate(ctx); return err }),
			saying("delete-inactive", "-", "", func() error { _, err := k.DeleteInactive(ctx); return err }),
		)
		if os.Getenv(victimKeeps) != "true" {
			root := secretref.NewRootKey()
			err = errors.Join(err, saying("change-root", "-", root.Reveal(), func() error { return k.ChangeRootKey(ctx, root) }))
		}
		if err != nil {
			return fmt.Errorf("changing keys: %w", err)
		}
	}
}

// world is what may be in the keyring: under each name the texts of which one is
// there, where "" is none. There is more than one only for what was under way.
type world map[string][]string

// begun and done take in what a victim says.
func (w world) begun(name, text string) { w[name] = append(w.may(name), text) }
func (w world) done(name, text string)  { w[name] = []string{text} }

func (w world) may(name string) []string {
	if texts := w[name]; texts != nil {
		return texts
	}
	return []string{""}
}

// rest is what is there when nothing is under way.
func (w world) rest() stored {
	s := stored{}
	for name, texts := range w {
		if texts[0] != "" {
			s[name] = texts[0]
		}
	}
	return s
}

// killer kills victims.
type killer struct {
	t *testing.T
	place
	admin *sql.DB // only victims use the database's own user
	keeps bool    // victims leave the root key as it is
	next  secretref.Secret
	world world
	takes map[string]time.Duration // how long victims need for what they do

	struck map[string]int // how often each operation was under way
	midway int            // how often a rotation was left behind
	moved  int            // how often the root key was changed by one that did not live to say so
}

// newKiller returns a killer for a keyring that does not exist yet.
func newKiller(t *testing.T, s server) *killer {
	p := newPlace(t, s)
	return &killer{t: t, place: p, admin: p.Admin(t), world: world{}, takes: map[string]time.Duration{}, struck: map[string]int{}}
}

// node opens the keyring as somebody who is no victim.
func (k *killer) node() *secretref.Keyring {
	k.t.Helper()
	return open(k.t, k.admin, k.server.dialect, secretref.KeyringOptions{RootKey: k.root})
}

// make makes the keyring with one secret, as the user whom the victims are.
func (k *killer) make() {
	k.t.Helper()
	db := k.Open(k.t)
	put(k.t, open(k.t, db, k.server.dialect, secretref.KeyringOptions{RootKey: k.root}), "secret", "text")
	k.world.done("secret", "text")
	require.NoError(k.t, db.Close())
}

// during returns a random moment while op is done, or shortly after.
func (k *killer) during(op string) time.Duration {
	return rand.N(cmp.Or(k.takes[op], 10*time.Millisecond) * 5 / 4)
}

// kill starts a victim and kills it some time after it has begun op for the nth
// time. It returns what was under way.
func (k *killer) kill(round int, op string, nth int, after time.Duration) (underWay []string) {
	k.t.Helper()
	cmd := exec.CommandContext(k.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimDriver+"="+k.Driver(), victimDSN+"="+k.DSN(), fmt.Sprintf("%s=%d", victimDialect, k.server.dialect),
		victimRoot+"="+k.root.Reveal(), fmt.Sprintf("%s=%d", victimRound, round), fmt.Sprintf("%s=%t", victimKeeps, k.keeps))
	var stderr bytes.Buffer
	cmd.Stderr = io.MultiWriter(&stderr, &output)
	out, err := cmd.StdoutPipe()
	require.NoError(k.t, err)
	require.NoError(k.t, cmd.Start())

	since := map[string]time.Time{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said := append(strings.Split(lines.Text(), " "), "", "", "")
		begins, what, name, mark := said[0] == "begin", said[1], said[2], said[3]
		if begins {
			since[what] = time.Now()
			if what == op {
				if nth--; nth == 0 {
					time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
				}
			}
		} else {
			if !assert.Equal(k.t, "end", said[0], "the victim said %s", lines.Text()) {
				continue
			}
			if nth > 0 { // else those that take long are missing
				took := time.Since(since[what])
				k.takes[what] = (3*cmp.Or(k.takes[what], took) + took) / 4
			}
			delete(since, what)
		}
		switch {
		case what == "change-root" && begins:
			k.next = secretref.NewSecret(mark)
			output.forbid(rawRoot(k.next))
		case what == "change-root":
			k.root, k.next = k.next, secretref.Secret{}
		case what == "put" && begins:
			k.world.begun(name, marked(mark))
		case what == "put":
			k.world.done(name, marked(mark))
		case what == "delete" && begins:
			k.world.begun(name, "")
		case what == "delete":
			k.world.done(name, "")
		}
	}
	_ = cmd.Wait()
	require.Equal(k.t, syscall.SIGKILL, cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(), "it died by itself: %s", &stderr)
	k.gone()
	return slices.Collect(maps.Keys(since))
}

// gone waits until the server has noticed: a statement that was sent is still
// done.
func (k *killer) gone() {
	k.t.Helper()
	sessions := "SELECT count(*) FROM pg_stat_activity WHERE usename = $1"
	if k.server.dialect == secretref.MySQL {
		sessions = "SELECT count(*) FROM information_schema.processlist WHERE user = ?"
	}
	require.Eventually(k.t, func() bool {
		var n int
		return k.admin.QueryRowContext(k.t.Context(), sessions, k.User).Scan(&n) == nil && n == 0
	}, 10*time.Second, 2*time.Millisecond, "the server does not notice that its client is dead")
}

// intact proves, with a keyring that is opened anew, that everything is there
// that must be, and that the keys and the audit log are in order. It returns
// that keyring, with the root key that was to be the next one.
func (k *killer) intact() *secretref.Keyring {
	k.t.Helper()
	if next := k.next; !next.IsZero() {
		k.next = secretref.Secret{}
		opts := secretref.KeyringOptions{RootKey: next, PreviousRootKey: k.root}
		ring := open(k.t, k.admin, k.server.dialect, opts)
		_, err := secretref.OpenKeyring(k.t.Context(), secretref.SQLStore(k.admin, k.server.dialect), &secretref.KeyringOptions{RootKey: k.root})
		if errors.Is(output.keep(err), secretref.ErrRootKey) {
			k.moved++
		} else {
			require.NoError(k.t, err)
		}
		require.NoError(k.t, output.keep(ring.ChangeRootKey(k.t.Context(), next)))
		k.root = next
	}
	ring := k.node()
	for name := range k.world {
		got := get(k.t, ring, name)
		require.True(k.t, slices.Contains(k.world[name], got), "%s is %.12q, of %d that it may be", name, got, len(k.world[name]))
		k.world.done(name, got)
	}
	var names []string
	for name, err := range ring.Names(k.t.Context()) {
		require.NoError(k.t, output.keep(err))
		names = append(names, name)
	}
	require.ElementsMatch(k.t, slices.Collect(maps.Keys(k.world.rest())), names)
	require.NoError(k.t, output.keep(ring.Verify(k.t.Context())))

	keys, err := ring.Keys(k.t.Context())
	require.NoError(k.t, output.keep(err))
	states, records := map[secretref.KeyState]int{}, 0
	for _, key := range keys {
		states[key.State]++
		records += key.Secrets
	}
	require.Equal(k.t, 1, states[secretref.KeyActive], "keys: %v", states)
	require.LessOrEqual(k.t, states[secretref.KeyRetiring], 1)
	require.Len(k.t, names, records, "a key is gone, and records need it")
	k.midway += states[secretref.KeyRetiring]
	history(k.t, ring, keys)
	return ring
}

// history proves that the audit log tells how the keys became what they are, and
// of nothing that failed.
func history(t testing.TB, k *secretref.Keyring, keys []secretref.KeyInfo) {
	t.Helper()
	have := map[string]secretref.KeyState{}
	var active string
	for e, err := range k.AuditLog(t.Context()) {
		require.NoError(t, output.keep(err))
		switch e.Action + " " + e.Outcome {
		case "create done":
			require.Empty(t, have)
			active = e.Keys[0]
			have[active] = secretref.KeyActive
		case "rotate started":
			require.Equal(t, active, e.Keys[0])
			require.NotContains(t, slices.Collect(maps.Values(have)), secretref.KeyRetiring, "a rotation was begun before the last one was done")
			active = e.Keys[1]
			have[e.Keys[0]], have[active] = secretref.KeyRetiring, secretref.KeyActive
		case "rotate done":
			require.Equal(t, active, e.Keys[1])
			require.Equal(t, secretref.KeyRetiring, have[e.Keys[0]], "a rotation was done that was not begun")
			have[e.Keys[0]] = secretref.KeyInactive
		case "delete-inactive done":
			for _, id := range e.Keys {
				require.Equal(t, secretref.KeyInactive, have[id])
				delete(have, id)
			}
		case "change-root done":
			require.ElementsMatch(t, slices.Collect(maps.Keys(have)), e.Keys)
		default:
			require.Fail(t, "the audit log has what nobody did", "%+v", e)
		}
	}
	found := map[string]secretref.KeyState{}
	for _, key := range keys {
		found[key.ID] = key.State
	}
	require.Equal(t, have, found)
}

func TestNothingIsLostWhereverANodeIsKilled(t *testing.T) {
	// Where it strikes: more often where more can go wrong.
	aims := []string{"put", "delete", "rotate", "rotate", "rotate", "delete-inactive", "change-root", "change-root"}
	kills := map[string]int{postgres.name: 80, mariadb.name: 48}
	onEach(t, func(t *testing.T, s server) {
		k := newKiller(t, s)
		k.make()
		for round := range kills[s.name] {
			op := aims[round%len(aims)]
			for _, op := range k.kill(round, op, 1+rand.IntN(2), k.during(op)) {
				k.struck[op]++
			}
			free(t, k.admin)
			ring := k.intact()
			if round%6 == 5 { // else the next victim finds what this one has left
				k.world.rest().whole(t, ring)
			}
		}
		ring := k.intact()
		k.world.rest().whole(t, ring)
		t.Logf("of %d victims killed: under way %v; left %d rotations and %d new root keys", kills[s.name], k.struck, k.midway, k.moved)
		for _, op := range []string{"put", "rotate", "delete-inactive", "change-root"} {
			assert.GreaterOrEqual(t, k.struck[op], kills[s.name]/40, op)
		}
		assert.Positive(t, k.midway)
	})
}

func TestNothingIsLostIfTheNodeThatMakesTheKeyringIsKilled(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		probe := newKiller(t, s)
		probe.kill(0, "put", 1, 0)
		left := map[string]int{}
		const kills = 16
		for round := range kills {
			k := newKiller(t, s)
			underWay := k.kill(round, "open", 1, probe.takes["open"]*time.Duration(round)*3/kills)
			made, err := k.admin.ExecContext(t.Context(), "UPDATE secretref_lease SET expires = 0 WHERE expires <> 0")
			held := int64(0)
			if err == nil {
				held, err = made.RowsAffected()
			}
			left[fmt.Sprintf("tables %t, lease %t, finished %t", err == nil, held > 0, !slices.Contains(underWay, "open"))]++
			ring := k.intact()
			put(t, ring, "secret", "text")
			k.world.done("secret", "text")
			k.world.rest().whole(t, ring)
		}
		t.Log(left)
		assert.GreaterOrEqual(t, len(left), 2)
	})
}

// The other tests end a dead node's lease in its table. This one waits, on all
// servers at the same time.
func TestTheLeaseOfADeadNodeEndsWithin15Seconds(t *testing.T) {
	t.Parallel()
	type dead struct {
		*killer
		node *secretref.Keyring
		died time.Time
	}
	held := func(d *dead) bool {
		_, err := d.node.Rotate(t.Context())
		if errors.Is(output.keep(err), secretref.ErrRotationInProgress) {
			return true
		}
		require.NoError(t, err, d.server.name)
		return false
	}
	var all []*dead
	for _, s := range []server{postgres, mariadb} {
		d := &dead{killer: newKiller(t, s)}
		d.keeps = true // d.node stays open
		d.make()
		d.node = d.killer.node()
		for round := 0; ; round++ {
			require.Less(t, round, 1000, "no victim died as the holder") // on a slow machine few do
			d.kill(round, "rotate", 1, d.during("rotate"))
			d.died = time.Now()
			if held(d) {
				break
			}
		}
		all = append(all, d)
	}
	for _, d := range all {
		for held(d) {
			require.Less(t, time.Since(d.died), 17*time.Second)
			time.Sleep(100 * time.Millisecond)
		}
		assert.Greater(t, time.Since(d.died), 10*time.Second)
		t.Logf("%s: the lease ended after %v", d.server.name, time.Since(d.died))
		for name := range d.world {
			require.Contains(t, d.world[name], get(t, d.node, name))
		}
		require.NoError(t, output.keep(d.node.Verify(t.Context())))
	}
}
