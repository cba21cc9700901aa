package keyring_test

import (
	"bufio"
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// killer starts and kills victims.
type killer struct {
	t *testing.T
	cluster
	admin *sql.DB // only victims use the user of the database
	keeps bool    // victims do not change the root key
	next  secretref.Secret
	world world

	struck      map[string]int // how often each operation was in progress
	rotations   int            // how many interrupted rotations were left
	rootChanges int            // how often a victim had changed the root key without reporting it
}

// newKiller returns a killer for a keyring that does not exist yet.
func newKiller(t *testing.T, s server) *killer {
	p := newCluster(t, s)
	return &killer{t: t, cluster: p, admin: p.Admin(t), world: world{}, struck: map[string]int{}}
}

// node opens the keyring in this process.
func (k *killer) node() *secretref.Keyring {
	k.t.Helper()
	return open(k.t, k.admin, k.server.dialect, secretref.KeyringOptions{RootKey: k.root})
}

// create creates the keyring with one secret, as the user of the victims.
func (k *killer) create() {
	k.t.Helper()
	db := k.Open(k.t)
	put(k.t, open(k.t, db, k.server.dialect, secretref.KeyringOptions{RootKey: k.root}),
		"secret", "text")
	k.world.end("secret", "text")
	require.NoError(k.t, db.Close())
}

// aim says when a victim is killed: after it has begun op for the nth time and then printed
// a number of further lines, and after a delay. With pause it does not continue after it has
// begun op.
type aim struct {
	op         string
	nth, lines int
	delay      time.Duration
	pause      bool
}

// kill starts a victim, kills it, and returns the operations in progress.
func (k *killer) kill(round int, a aim) (inProgress []string) {
	k.t.Helper()
	cmd := exec.CommandContext(k.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimDriver+"="+k.Driver(), victimDSN+"="+k.DSN(),
		fmt.Sprintf("%s=%d", victimDialect, k.server.dialect),
		victimRoot+"="+k.root.Reveal(), fmt.Sprintf("%s=%d", victimRound, round), fmt.Sprintf("%s=%t",
			victimKeeps, k.keeps))
	if a.pause {
		cmd.Env = append(cmd.Env, victimPause+"="+a.op)
	}
	var stderr bytes.Buffer
	cmd.Stderr = io.MultiWriter(&stderr, &output)
	out, err := cmd.StdoutPipe()
	require.NoError(k.t, err)
	require.NoError(k.t, cmd.Start())

	began := map[string]bool{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fields := append(strings.Split(lines.Text(), " "), "", "", "")
		begins, op, name, mark := fields[0] == "begin", fields[1], fields[2], fields[3]
		if begins {
			began[op] = true
			if op == a.op {
				a.nth--
			}
		} else {
			if !assert.Equal(k.t, "end", fields[0], "the victim printed %s", lines.Text()) {
				continue
			}
			delete(began, op)
		}
		switch {
		case op == "change-root" && begins:
			k.next = secretref.NewSecret(mark)
			output.forbid(rawRoot(k.next))
		case op == "change-root":
			k.root, k.next = k.next, secretref.Secret{}
		case op == "put" && begins:
			k.world.begin(name, marked(mark))
		case op == "put":
			k.world.end(name, marked(mark))
		case op == "delete" && begins:
			k.world.begin(name, "")
		case op == "delete":
			k.world.end(name, "")
		}
		if a.nth <= 0 {
			if a.lines == 0 {
				time.AfterFunc(a.delay, func() { _ = cmd.Process.Kill() })
			}
			a.lines--
		}
	}
	_ = cmd.Wait()
	require.Equal(k.t, syscall.SIGKILL, cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(),
		"it ended by itself: %s", &stderr)
	k.waitForServer()
	return slices.Collect(maps.Keys(began))
}

// now returns the time of the database, in microseconds.
func (k *killer) now() int64 {
	k.t.Helper()
	if k.server.dialect == secretref.MySQL {
		return k.micros("SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))")
	}
	return k.micros("SELECT (extract(epoch from clock_timestamp()) * 1000000)::bigint")
}

func (k *killer) micros(query string) (n int64) {
	k.t.Helper()
	require.NoError(k.t, k.admin.QueryRowContext(k.t.Context(), query).Scan(&n))
	return n
}

// waitForServer waits until the server has noticed the death of its client, since it still
// executes the last statement.
func (k *killer) waitForServer() {
	k.t.Helper()
	sessions := "SELECT count(*) FROM pg_stat_activity WHERE usename = $1"
	if k.server.dialect == secretref.MySQL {
		sessions = "SELECT count(*) FROM information_schema.processlist WHERE user = ?"
	}
	require.Eventually(k.t, func() bool {
		var n int
		return k.admin.QueryRowContext(k.t.Context(), sessions, k.User).Scan(&n) == nil && n == 0
	}, time.Minute, 2*time.Millisecond, "the server did not notice that its client is dead")
}

// checkWorld opens the keyring again and checks that every secret that must be there is
// there, and that keys and audit log are in order. It finishes a change of the root key, and
// returns the keyring.
func (k *killer) checkWorld() *secretref.Keyring {
	k.t.Helper()
	if next := k.next; !next.IsZero() {
		k.next = secretref.Secret{}
		opts := secretref.KeyringOptions{RootKey: next, PreviousRootKey: k.root}
		ring := open(k.t, k.admin, k.server.dialect, opts)
		_, err := secretref.OpenKeyring(k.t.Context(), secretref.SQLStore(k.admin, k.server.dialect),
			&secretref.KeyringOptions{RootKey: k.root})
		if errors.Is(output.keep(err), secretref.ErrRootKey) {
			k.rootChanges++
		} else {
			require.NoError(k.t, err)
		}
		require.NoError(k.t, output.keep(ring.ChangeRootKey(k.t.Context(), next)))
		k.root = next
	}
	ring := k.node()
	for name := range k.world {
		got := get(k.t, ring, name)
		require.True(k.t, slices.Contains(k.world[name], got),
			"%s is %.12q, which is none of %d possible texts", name, got, len(k.world[name]))
		k.world.end(name, got)
	}
	var names []string
	for name, err := range ring.Names(k.t.Context()) {
		require.NoError(k.t, output.keep(err))
		names = append(names, name)
	}
	require.ElementsMatch(k.t, slices.Collect(maps.Keys(k.world.secrets())), names)
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
	k.rotations += states[secretref.KeyRetiring]
	checkHistory(k.t, ring, keys)
	return ring
}

func TestKill(t *testing.T) {
	// Aim more often at what can go wrong in more ways.
	ops := []string{"put", "delete", "rotate", "rotate", "rotate", "delete-inactive", "change-root",
		"change-root"}
	kills := map[string]int{postgres.name: 80, mariadb.name: 48}
	onEach(t, func(t *testing.T, s server) {
		k := newKiller(t, s)
		k.create()
		for round := range kills[s.name] {
			a := aim{op: ops[round%len(ops)], nth: 1 + rand.IntN(2), lines: rand.IntN(8)}
			for _, op := range k.kill(round, a) {
				k.struck[op]++
			}
			expireLease(t, k.admin)
			ring := k.checkWorld()
			if round%6 == 5 { // otherwise the next victim finds what this one has left
				k.world.secrets().checkIntact(t, ring)
			}
		}
		ring := k.checkWorld()
		k.world.secrets().checkIntact(t, ring)
		t.Logf("of %d victims killed: in progress %v; left %d rotations and %d new root keys",
			kills[s.name], k.struck, k.rotations, k.rootChanges)
		for _, op := range []string{"put", "rotate", "delete-inactive", "change-root"} {
			assert.Positive(t, k.struck[op], op)
		}
		assert.Positive(t, k.rotations)
	})
}

func TestKill_creation(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		left := map[string]int{}
		const kills = 16
		for round := range kills {
			k := newKiller(t, s)
			a := aim{op: "open", nth: 1, delay: rand.N(100 * time.Millisecond)}
			switch round {
			case 0: // before anything is created
				a.delay, a.pause = 0, true
			case 1: // after the keyring was created
				a.op, a.delay, a.pause = "put", 0, true
			}
			inProgress := k.kill(round, a)
			result, err := k.admin.ExecContext(t.Context(),
				"UPDATE secretref_lease SET expires = 0 WHERE expires <> 0")
			held := int64(0)
			if err == nil {
				held, err = result.RowsAffected()
			}
			left[fmt.Sprintf("tables %t, lease %t, finished %t", err == nil, held > 0,
				!slices.Contains(inProgress, "open"))]++
			ring := k.checkWorld()
			put(t, ring, "secret", "text")
			k.world.end("secret", "text")
			k.world.secrets().checkIntact(t, ring)
		}
		t.Log(left)
		assert.GreaterOrEqual(t, len(left), 2)
	})
}

// The other tests expire the lease of a dead node in its table. This one waits, on all
// servers at the same time.
func TestKill_leaseExpires(t *testing.T) {
	t.Parallel()
	type dead struct {
		*killer
		node    *secretref.Keyring
		expires int64 // by the clock of the database
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
		d.create()
		d.node = d.killer.node()
		for round := 0; ; round++ {
			require.Less(t, round, 1000, "no victim died as the holder of the lease")
			d.kill(round, aim{op: "rotate", nth: 1, lines: rand.IntN(4)})
			d.expires = d.micros("SELECT expires FROM secretref_lease")
			if held(d) {
				break
			}
		}
		all = append(all, d)
	}
	for _, d := range all {
		assert.LessOrEqual(t, d.expires, d.now()+15_000_000, d.server.name)
		for held(d) {
			time.Sleep(100 * time.Millisecond)
		}
		assert.GreaterOrEqual(t, d.now(), d.expires, d.server.name)
		for name := range d.world {
			require.Contains(t, d.world[name], get(t, d.node, name))
		}
		require.NoError(t, output.keep(d.node.Verify(t.Context())))
	}
}
