package atlassian

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzOverlay checks that entries keep their keys and lines, that values without a
// substitution stay, and that there are no overrides without an environment.
func FuzzOverlay(f *testing.F) {
	f.Add("jdbc.user", "${A:${B}}", "A=${B}\nB=x", true)
	f.Add("a", "${a}", "A=${a}", false)
	f.Add("a.b-c", `\${x}${y:z}${`, "A_B_C=1\na_b_c=2", true)
	f.Fuzz(func(t *testing.T, key, value, env string, with bool) {
		entries := []Entry{{key, value, 1}, {"x", "${" + key + "}", 2}, {"y", "${x}${x}", 3}}
		before := slices.Clone(entries)
		var variables []string
		if with {
			variables = strings.Split(env, "\n")
		}
		replaced, overrides := Overlay(slices.All(entries), variables)
		require.Equal(t, before, entries)
		require.Len(t, replaced, len(entries))
		for i, e := range replaced {
			require.Equal(t, entries[i].Key, e.Key)
			require.Equal(t, entries[i].Line, e.Line)
			if !HasSubstitution(entries[i].Value) {
				require.Equal(t, entries[i].Value, e.Value)
			}
		}
		for _, o := range overrides {
			require.Zero(t, o.Line)
			require.True(t,
				slices.ContainsFunc(variables,
					func(v string) bool { return strings.HasPrefix(v, o.Variable+"=") }))
		}
		require.True(t, with || overrides == nil)
	})
}
