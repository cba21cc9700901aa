//go:build linux || darwin

package rotate_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// world is the possible content of the keyring: for each name the texts of which one is
// stored, where "" means none. There are several only for operations in progress.
type world map[string][]string

func (w world) begin(name, text string) { w[name] = append(w.possible(name), text) }
func (w world) end(name, text string)   { w[name] = []string{text} }

func (w world) possible(name string) []string {
	if texts := w[name]; texts != nil {
		return texts
	}
	return []string{""}
}

// killer starts and kills victims.
type killer struct {
	keyringFile
	next  string // path of the next root key during a change of the root key
	world world

	struck        map[string]int // how often each operation was in progress
	rotations     int            // how many interrupted rotations were left
	rootChanges   int            // how many interrupted changes of the root key were left
	nothingStruck int            // how often no operation was in progress
}

func newKiller(t *testing.T) *killer {
	k := &killer{keyringFile: newKeyringFile(t), world: world{}, struck: map[string]int{}}
	k.next = k.path + ".key.new"
	return k
}

// linkKey makes the file of the root key a link into another directory.
func (k *killer) linkKey() {
	k.t.Helper()
	dir := k.t.TempDir()
	require.NoError(k.t, os.Symlink(filepath.Join(dir, "root.key"), k.path+".key"))
	k.next = filepath.Join(dir, "root.key.new")
}

// aim says when a victim is killed: after it has begun op for the nth time and then
// printed a number of further lines. With pause it does not continue after it has begun
// op.
type aim struct {
	op         string
	nth, lines int
	pause      bool
}

// kill starts a victim, kills it, and returns the operations in progress.
func (k *killer) kill(round int, a aim) (inProgress []string) {
	k.t.Helper()
	cmd := exec.CommandContext(k.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimPath+"="+k.path, fmt.Sprintf("%s=%d", victimRound, round))
	if a.pause {
		cmd.Env = append(cmd.Env, victimPause+"="+a.op)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	require.NoError(k.t, err)
	require.NoError(k.t, cmd.Start())

	began := map[string]bool{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fields := append(strings.Split(lines.Text(), " "), "", "", "")
		op, name, text := fields[1], fields[2], fields[3]
		if text != "" {
			text = marked(text)
		}
		switch fields[0] {
		case "begin":
			began[op] = true
			if name != "" {
				k.world.begin(name, text)
			}
			if op == a.op {
				a.nth--
			}
		case "end":
			delete(began, op)
			if name != "" {
				k.world.end(name, text)
			}
		case "step": // only counted
		default:
			k.t.Errorf("the victim printed: %s", lines.Text())
		}
		if a.nth <= 0 {
			if a.lines == 0 {
				_ = cmd.Process.Kill()
			}
			a.lines--
		}
	}
	_ = cmd.Wait()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.Equal(k.t, syscall.SIGKILL, status.Signal(), "it ended by itself: %s", &stderr)
	return slices.Collect(maps.Keys(began))
}

// checkWorld opens the keyring again and checks that every secret that must be there is
// there, and that keys and audit log are in order.
func (k *killer) checkWorld() {
	k.t.Helper()
	if _, err := os.Stat(k.next); err == nil {
		k.rootChanges++
	}
	r := k.keyring(nil)
	require.NoFileExists(k.t, k.next, "opening recovers")
	for name := range k.world {
		got, err := r.Get(k.t.Context(), name)
		if !errors.Is(err, fault.NotFound) {
			require.NoError(k.t, err, name)
		}
		require.True(k.t, slices.Contains(k.world[name], string(got)),
			"%s is %.12q, which is none of %d possible texts", name, got, len(k.world[name]))
		k.world.end(name, string(got))
	}
	require.NoError(k.t, r.Verify(k.t.Context()))

	keys, err := r.Store().Load(k.t.Context())
	require.NoError(k.t, err)
	count := map[store.State]int{}
	known := map[seal.KeyID]bool{}
	for _, key := range keys.Keys {
		count[key.State]++
		known[key.ID] = true
	}
	require.Equal(k.t, 1, count[store.Active], "keys: %v", count)
	require.LessOrEqual(k.t, count[store.Retiring], 1)
	k.rotations += count[store.Retiring]
	records, err := r.Store().Count(k.t.Context())
	require.NoError(k.t, err)
	for id := range records {
		require.True(k.t, known[id], "key %s is gone, and records need it", id)
	}
	k.checkHistory(r, keys)
}

// checkHistory checks that the audit log explains the state of every key, and contains no
// failures.
func (k *killer) checkHistory(r *keyring.Keyring, keys *store.Keys) {
	k.t.Helper()
	states := map[seal.KeyID]store.State{}
	var active seal.KeyID
	for after, more := int64(0), true; more; {
		events, err := r.Store().Events(k.t.Context(), after, 500)
		require.NoError(k.t, err)
		more = len(events) > 0
		for _, e := range events {
			require.Equal(k.t, after+1, e.Seq)
			after = e.Seq
			switch e.Action + " " + e.Outcome {
			case "create done":
				require.Empty(k.t, states)
				active = e.Keys[0]
				states[active] = store.Active
			case "rotate started":
				require.Equal(k.t, active, e.Keys[0])
				require.NotContains(k.t, slices.Collect(maps.Values(states)), store.Retiring,
					"a rotation began before the last one was done")
				active = e.Keys[1]
				states[e.Keys[0]], states[active] = store.Retiring, store.Active
			case "rotate done":
				require.Equal(k.t, active, e.Keys[1])
				require.Equal(k.t, store.Retiring, states[e.Keys[0]], "a rotation was done that had not begun")
				states[e.Keys[0]] = store.Inactive
			case "delete-inactive done":
				for _, id := range e.Keys {
					require.Equal(k.t, store.Inactive, states[id])
					delete(states, id)
				}
			case "change-root done":
				require.ElementsMatch(k.t, slices.Collect(maps.Keys(states)), e.Keys)
			default:
				require.Fail(k.t, "unexpected event", "%+v", e)
			}
		}
	}
	found := map[seal.KeyID]store.State{}
	for _, key := range keys.Keys {
		found[key.ID] = key.State
	}
	require.Equal(k.t, states, found)
}

// secrets returns what is stored after checkWorld.
func (k *killer) secrets() stored {
	s := stored{}
	for name, texts := range k.world {
		if texts[0] != "" {
			s[name] = texts[0]
		}
	}
	return s
}

func TestKill(t *testing.T) {
	lanes, kills := 4, 24
	if testing.Short() {
		lanes, kills = 2, 4
	}
	// Aim more often at what can go wrong in more ways.
	ops := []string{"rotate", "change-root", "put", "rotate", "delete-inactive", "change-root",
		"delete", "rotate"}
	killers := make(chan *killer, lanes)
	t.Run("lane", func(t *testing.T) {
		for lane := range lanes {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				k := newKiller(t)
				if lane%2 == 1 {
					k.linkKey()
				}
				k.fill(k.keyring(nil), 1)
				k.world.end("secret 0", "text 0")
				for round := range kills {
					a := aim{op: ops[(round+lane*4)%len(ops)], nth: 1 + rand.IntN(2), lines: rand.IntN(8)}
					inProgress := k.kill(round, a)
					for _, op := range inProgress {
						k.struck[op]++
					}
					if len(inProgress) == 0 {
						k.nothingStruck++
					}
					k.checkWorld()
					if round%6 == 5 { // otherwise the next victim finds what this one has left
						k.checkIntact(k.secrets())
					}
				}
				k.checkIntact(k.secrets())
				if lane%2 == 1 {
					info, err := os.Lstat(k.path + ".key")
					require.NoError(t, err)
					require.Equal(t, os.ModeSymlink, info.Mode().Type())
				}
				killers <- k
			})
		}
	})
	close(killers)
	all := newKiller(t)
	for k := range killers {
		for op, n := range k.struck {
			all.struck[op] += n
		}
		all.rotations, all.rootChanges = all.rotations+k.rotations, all.rootChanges+k.rootChanges
		all.nothingStruck += k.nothingStruck
	}
	t.Logf("of %d victims killed: in progress %v; left %d rotations and %d changes of the root "+
		"key; nothing in progress %d",
		lanes*kills, all.struck, all.rotations, all.rootChanges, all.nothingStruck)
	if testing.Short() {
		return // too few victims to have struck everything
	}
	assert.Less(t, all.nothingStruck, lanes*kills/6)
	for _, op := range ops {
		assert.Positive(t, all.struck[op], op)
	}
	assert.Positive(t, all.rotations)
	assert.Positive(t, all.rootChanges)
}

// A process is killed while it creates the keyring.
func TestKill_creation(t *testing.T) {
	kills := 12
	if testing.Short() {
		kills = 4
	}
	left := map[string]int{}
	for round := range kills {
		k := newKiller(t)
		a := aim{op: "open", nth: 1, lines: rand.IntN(9)}
		switch round {
		case 0: // before anything is created
			a.lines, a.pause = 0, true
		case 1: // after the keyring was created
			a.op, a.lines, a.pause = "put", 0, true
		}
		inProgress := k.kill(round, a)
		_, noKey := os.Stat(k.path + ".key")
		_, noStore := os.Stat(k.path)
		left[fmt.Sprintf("root key %t, store %t, finished %t", noKey == nil, noStore == nil,
			!slices.Contains(inProgress, "open"))]++
		k.checkWorld()
		k.fill(k.keyring(nil), 1)
		k.world.end("secret 0", "text 0")
		k.checkWorld()
		k.checkIntact(k.secrets())
	}
	t.Log(left)
	assert.GreaterOrEqual(t, len(left), 2)
}
