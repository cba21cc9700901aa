//go:build linux || darwin

package rotate_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
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
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// A process with these variables works on the keyring at the path until it is
// killed: see victim.
const (
	victimPath  = "SECRETREF_VICTIM_PATH"
	victimRound = "SECRETREF_VICTIM_ROUND"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(victimPath); path != "" {
		err := victim(path, os.Getenv(victimRound))
		fmt.Println("failed", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victim writes secrets and changes keys at the same time, and says on standard
// output what it begins and what it has done.
func victim(path, round string) error {
	ctx := context.Background()
	var r *keyring.Keyring
	err := saying("open", "", "", func() (err error) {
		r, err = openFile(ctx, path)
		return err
	})
	if err != nil {
		return err
	}
	failed := make(chan error)
	go func() { failed <- write(ctx, r, round) }()
	go func() { failed <- changeKeys(ctx, r) }()
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

func write(ctx context.Context, r *keyring.Keyring, round string) error {
	for i := 0; ; i++ {
		name, mark := fmt.Sprintf("secret-%d", rand.IntN(24)), fmt.Sprintf("%s.%d", round, i)
		var err error
		if i%5 == 4 {
			err = saying("delete", name, "", func() error {
				err := r.Delete(ctx, name)
				if errors.Is(err, fault.NotFound) {
					return nil
				}
				return err
			})
		} else {
			err = saying("put", name, mark, func() error { return r.Put(ctx, name, []byte(marked(mark))) })
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

func changeKeys(ctx context.Context, r *keyring.Keyring) error {
	to := rotate.Rotator{Keyring: r}.Paged(5)
	for {
		err := errors.Join(
			saying("rotate", "", "", func() error { _, err := to.Rotate(ctx); return err }),
			saying("delete-inactive", "", "", func() error { _, err := to.DeleteInactive(ctx); return err }),
			saying("change-root", "", "", func() error { return to.ChangeRoot(ctx, seal.NewRootText()) }),
		)
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

// killer kills victims.
type killer struct {
	place
	next  string // where the next root key is while it replaces the present one
	world world
	takes map[string]time.Duration // how long victims need for what they do

	struck       map[string]int // how often each operation was under way
	midway, half int            // how often a rotation and a change of the root key were left behind
	nothing      int            // how often nothing was under way
}

func newKiller(t *testing.T) *killer {
	k := &killer{place: newPlace(t), world: world{}, takes: map[string]time.Duration{}, struck: map[string]int{}}
	k.next = k.path + ".key.new"
	return k
}

// linked makes the root key's file a link to another directory.
func (k *killer) linked() {
	k.t.Helper()
	dir := k.t.TempDir()
	require.NoError(k.t, os.Symlink(filepath.Join(dir, "root.key"), k.path+".key"))
	k.next = filepath.Join(dir, "root.key.new")
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
	cmd.Env = append(os.Environ(), victimPath+"="+k.path, fmt.Sprintf("%s=%d", victimRound, round))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	require.NoError(k.t, err)
	require.NoError(k.t, cmd.Start())

	since := map[string]time.Time{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said := append(strings.Split(lines.Text(), " "), "", "", "")
		what, name, text := said[1], said[2], said[3]
		if text != "" {
			text = marked(text)
		}
		switch said[0] {
		case "begin":
			since[what] = time.Now()
			if name != "" {
				k.world.begun(name, text)
			}
			if what == op {
				if nth--; nth == 0 {
					time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
				}
			}
		case "end":
			if nth > 0 { // else those that take long are missing
				took := time.Since(since[what])
				k.takes[what] = (3*cmp.Or(k.takes[what], took) + took) / 4
			}
			delete(since, what)
			if name != "" {
				k.world.done(name, text)
			}
		default:
			k.t.Errorf("the victim said: %s", lines.Text())
		}
	}
	_ = cmd.Wait()
	require.Equal(k.t, syscall.SIGKILL, cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(), "it died by itself: %s", &stderr)
	return slices.Collect(maps.Keys(since))
}

// intact proves, with a keyring that is opened anew, that everything is there
// that must be, and that the keys and the audit log are in order.
func (k *killer) intact() {
	k.t.Helper()
	if _, err := os.Stat(k.next); err == nil {
		k.half++
	}
	r := k.ring(nil)
	require.NoFileExists(k.t, k.next, "opening heals")
	for name := range k.world {
		got, err := r.Get(k.t.Context(), name)
		if !errors.Is(err, fault.NotFound) {
			require.NoError(k.t, err, name)
		}
		require.True(k.t, slices.Contains(k.world[name], string(got)), "%s is %.12q, of %d that it may be", name, got, len(k.world[name]))
		k.world.done(name, string(got))
	}
	require.NoError(k.t, r.Verify(k.t.Context()))

	keys, err := r.Store().Load(k.t.Context())
	require.NoError(k.t, err)
	states := map[store.State]int{}
	byID := map[seal.KeyID]bool{}
	for _, key := range keys.Keys {
		states[key.State]++
		byID[key.ID] = true
	}
	require.Equal(k.t, 1, states[store.Active], "keys: %v", states)
	require.LessOrEqual(k.t, states[store.Retiring], 1)
	k.midway += states[store.Retiring]
	records, err := r.Store().Count(k.t.Context())
	require.NoError(k.t, err)
	for id := range records {
		require.True(k.t, byID[id], "key %s is gone, and records need it", id)
	}
	k.history(r, keys)
}

// history proves that the audit log tells how the keys became what they are, and
// of nothing that failed.
func (k *killer) history(r *keyring.Keyring, keys *store.Keys) {
	k.t.Helper()
	have := map[seal.KeyID]store.State{}
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
				require.Empty(k.t, have)
				active = e.Keys[0]
				have[active] = store.Active
			case "rotate started":
				require.Equal(k.t, active, e.Keys[0])
				require.NotContains(k.t, slices.Collect(maps.Values(have)), store.Retiring, "a rotation was begun before the last one was done")
				active = e.Keys[1]
				have[e.Keys[0]], have[active] = store.Retiring, store.Active
			case "rotate done":
				require.Equal(k.t, active, e.Keys[1])
				require.Equal(k.t, store.Retiring, have[e.Keys[0]], "a rotation was done that was not begun")
				have[e.Keys[0]] = store.Inactive
			case "delete-inactive done":
				for _, id := range e.Keys {
					require.Equal(k.t, store.Inactive, have[id])
					delete(have, id)
				}
			case "change-root done":
				require.ElementsMatch(k.t, slices.Collect(maps.Keys(have)), e.Keys)
			default:
				require.Fail(k.t, "the audit log has what nobody did", "%+v", e)
			}
		}
	}
	found := map[seal.KeyID]store.State{}
	for _, key := range keys.Keys {
		found[key.ID] = key.State
	}
	require.Equal(k.t, have, found)
}

// rest is what is there when nothing is under way.
func (k *killer) rest() stored {
	s := stored{}
	for name, texts := range k.world {
		if texts[0] != "" {
			s[name] = texts[0]
		}
	}
	return s
}

func TestNothingIsLostWhereverAProcessIsKilled(t *testing.T) {
	const lanes, kills = 4, 60
	// Where it strikes: more often where more can go wrong.
	aims := []string{"put", "delete", "rotate", "rotate", "rotate", "delete-inactive", "change-root", "change-root"}
	struck := make(chan *killer, lanes)
	t.Run("victims", func(t *testing.T) {
		for lane := range lanes {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				k := newKiller(t)
				if lane%2 == 1 {
					k.linked()
				}
				k.fill(k.ring(nil), 1)
				k.world.done("secret 0", "text 0")
				for round := range kills {
					op := aims[round%len(aims)]
					underWay := k.kill(round, op, 1+rand.IntN(2), k.during(op))
					for _, op := range underWay {
						k.struck[op]++
					}
					if len(underWay) == 0 {
						k.nothing++
					}
					k.intact()
					if round%6 == 5 { // else the next victim finds what this one has left
						k.whole(k.rest())
					}
				}
				k.whole(k.rest())
				if lane%2 == 1 {
					info, err := os.Lstat(k.path + ".key")
					require.NoError(t, err)
					require.Equal(t, os.ModeSymlink, info.Mode().Type())
				}
				struck <- k
			})
		}
	})
	close(struck)
	all := newKiller(t)
	for k := range struck {
		for op, n := range k.struck {
			all.struck[op] += n
		}
		all.midway, all.half, all.nothing = all.midway+k.midway, all.half+k.half, all.nothing+k.nothing
	}
	t.Logf("of %d victims killed: under way %v; left %d rotations and %d changes of the root key; nothing under way %d", lanes*kills, all.struck, all.midway, all.half, all.nothing)
	assert.GreaterOrEqual(t, lanes*kills-all.nothing, 200)
	for _, op := range aims {
		assert.GreaterOrEqual(t, all.struck[op], 10, op)
	}
	assert.Positive(t, all.midway)
	assert.Positive(t, all.half)
}

func TestNothingIsLostIfTheProcessThatMakesTheKeyringIsKilled(t *testing.T) {
	probe := newKiller(t)
	probe.kill(0, "put", 1, 0)
	left := map[string]int{}
	const kills = 40
	for round := range kills {
		k := newKiller(t)
		underWay := k.kill(round, "open", 1, probe.takes["open"]*time.Duration(round)*3/kills)
		_, noKey := os.Stat(k.path + ".key")
		_, noStore := os.Stat(k.path)
		left[fmt.Sprintf("root key %t, store %t, finished %t", noKey == nil, noStore == nil, !slices.Contains(underWay, "open"))]++
		k.intact()
		k.fill(k.ring(nil), 1)
		k.world.done("secret 0", "text 0")
		k.intact()
		k.whole(k.rest())
	}
	t.Log(left)
	assert.GreaterOrEqual(t, len(left), 2)
}

// A disk that is full is made by a limit on the size of files, in a process of
// its own.
func TestAFullDiskLosesNothing(t *testing.T) {
	const child = "SECRETREF_FULL_DISK"
	if os.Getenv(child) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	var unlimited syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &unlimited))
	limited := func(size int64, work func() error) error {
		limit := unlimited
		limit.Cur = uint64(size)
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
		defer func() { require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &unlimited)) }()
		return work()
	}

	p := newPlace(t)
	r := p.ring(nil)
	s := p.fill(r, 40)
	to := rotate.Rotator{Keyring: r}.Paged(7)
	works := map[string]func() error{
		"put":             func() error { return r.Put(t.Context(), "secret 7", []byte(strings.Repeat("seven ", 4000))) },
		"rotate":          func() error { _, err := to.Rotate(t.Context()); return err },
		"delete inactive": func() error { _, err := to.DeleteInactive(t.Context()); return err },
		"change root":     func() error { return to.ChangeRoot(t.Context(), seal.NewRootText()) },
	}
	for name, work := range works {
		failed := 0
		for eighth := range int64(12) {
			file, err := os.Stat(p.path)
			require.NoError(t, err)
			size := file.Size()*eighth/8 + rand.Int64N(5000)
			if err := limited(size, work); err != nil {
				failed++
				require.ErrorIs(t, err, fault.Unavailable, "%s, with %d of %d bytes", name, size, file.Size())
			} else if name == "put" {
				s["secret 7"] = strings.Repeat("seven ", 4000)
			}
			p.same(p.ring(nil), s)
			require.NoError(t, r.Verify(t.Context()))
			require.NoError(t, work(), "there is room again")
			if name == "put" {
				s["secret 7"] = "text 7"
				require.NoError(t, r.Put(t.Context(), "secret 7", []byte(s["secret 7"])))
			}
			p.whole(s)
		}
		t.Logf("%s: %d of 12 found no room", name, failed)
		assert.Positive(t, failed, name)
	}
}
