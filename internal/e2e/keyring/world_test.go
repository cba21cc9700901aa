package keyring_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// world is the possible content of the keyring: for each name the texts of which one is
// stored, where "" means none. There are several only for operations in progress.
type world map[string][]string

func (w world) begin(name, text string) { w[name] = append(w.possible(name), text) }

func (w world) end(name, text string) { w[name] = []string{text} }

func (w world) possible(name string) []string {
	if texts := w[name]; texts != nil {
		return texts
	}
	return []string{""}
}

// secrets returns what is stored after checkWorld.
func (w world) secrets() stored {
	s := stored{}
	for name, texts := range w {
		if texts[0] != "" {
			s[name] = texts[0]
		}
	}
	return s
}

// checkHistory checks that the audit log explains the state of every key, and contains no
// failures.
func checkHistory(t testing.TB, k *secretref.Keyring, keys []secretref.KeyInfo) {
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
			require.NotContains(t, slices.Collect(maps.Values(have)), secretref.KeyRetiring,
				"a rotation began before the last one was done")
			active = e.Keys[1]
			have[e.Keys[0]], have[active] = secretref.KeyRetiring, secretref.KeyActive
		case "rotate done":
			require.Equal(t, active, e.Keys[1])
			require.Equal(t, secretref.KeyRetiring, have[e.Keys[0]],
				"a rotation was done that had not begun")
			have[e.Keys[0]] = secretref.KeyInactive
		case "delete-inactive done":
			for _, id := range e.Keys {
				require.Equal(t, secretref.KeyInactive, have[id])
				delete(have, id)
			}
		case "change-root done":
			require.ElementsMatch(t, slices.Collect(maps.Keys(have)), e.Keys)
		default:
			require.Fail(t, "unexpected event", "%+v", e)
		}
	}
	found := map[string]secretref.KeyState{}
	for _, key := range keys {
		found[key.ID] = key.State
	}
	require.Equal(t, have, found)
}
