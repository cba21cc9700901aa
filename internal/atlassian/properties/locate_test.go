package properties

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/test/vectors"
)

// parts cuts a file at its places.
func parts(t *testing.T, text string) (all []string) {
	t.Helper()
	places, err := Locate([]byte(text))
	require.NoError(t, err)
	for _, p := range places {
		all = append(all, fmt.Sprintf("%q %q", text[p.Start:p.Value], text[p.Value:p.End]))
	}
	return all
}

func TestLocate(t *testing.T) {
	for text, want := range map[string][]string{
		"a=1\nb:2":                  {`"a=" "1"`, `"b:" "2"`},
		" a = 1 \r\n\tb 2\r":        {`" a = " "1 "`, `"\tb " "2"`},
		"#x\n\na=1\\\n  2\\\n\n#y":  {`"a=" "1\\\n  2\\\n"`},
		"a=\\\n  1\n":               {`"a=\\\n  " "1"`},
		"a\\\n b\\\n =\\\n \\\n1\n": {`"a\\\n b\\\n =\\\n \\\n" "1"`},
		"a=\nb\n":                   {`"a=" ""`, `"b" ""`},
		"a=\\\n \nb":                {`"a=" "\\\n "`, `"b" ""`},
		"a=1\\":                     {`"a=" "1\\"`},
		"\\\n a=1":                  {`"\\\n a=" "1"`},
		"\\\n#\n\\\n\n a=1":         {`" a=" "1"`},
		"é=\xe9\na=\xfc\n":          {`"é=" "\xe9"`, `"a=" "\xfc"`},
		"\\":                        {`"" "\\"`},
	} {
		assert.Equal(t, want, parts(t, text), "%q", text)
	}
}

func TestLocateBare(t *testing.T) {
	places, err := Locate([]byte("a\nb=\nc \nd\\\n e\n"))
	require.NoError(t, err)
	var bare []bool
	for _, p := range places {
		bare = append(bare, p.Bare)
	}
	assert.Equal(t, []bool{true, false, false, true}, bare)
}

func TestLocateRefuses(t *testing.T) {
	_, err := Locate([]byte(`a=\u0`))
	require.Error(t, err)
}

// FuzzLocate checks that there is a place for each pair of Parse, that places are in
// order and do not overlap, and that a value can be replaced.
func FuzzLocate(f *testing.F) {
	for _, v := range vectors.LoadProperties(f) {
		f.Add(v.Input, "value")
	}
	f.Add([]byte("\\\n#\n a\\\r\n =\\\n 1\\"), " =:\\#\t\n\r\f é😀\x00")
	f.Fuzz(func(t *testing.T, b []byte, value string) {
		pairs, err := Parse(b)
		places, locateErr := Locate(b)
		require.Equal(t, err == nil, locateErr == nil)
		if err != nil {
			return
		}
		require.Len(t, places, len(pairs))
		end := 0
		for i, p := range places {
			require.Equal(t, pairs[i], p.Pair)
			require.True(t, end <= p.Start && p.Start <= p.Value && p.Value <= p.End && p.End <= len(b))
			require.True(t, p.End == len(b) || isEOL(b[p.End]))
			end = p.End
		}
		quoted, ok := Quote(value)
		require.Equal(t, utf8.ValidString(value), ok)
		if !ok || len(places) == 0 {
			return
		}
		require.Equal(t, -1, strings.IndexFunc(quoted, func(c rune) bool { return c < ' ' || c > '~' }))
		i := len(quoted) % len(places)
		p := places[i]
		if p.Bare {
			quoted = "=" + quoted
		}
		edited := []byte(string(b[:p.Value]) + quoted + string(b[p.End:]))
		if utf8.Valid(edited) && !utf8.Valid(b) {
			return // then the rest of the file has another encoding
		}
		again, err := Parse(edited)
		require.NoError(t, err)
		pairs[i].Value = value
		require.Equal(t, withoutLines(pairs), withoutLines(again))
	})
}

func withoutLines(pairs []Pair) (all []Pair) {
	for _, p := range pairs {
		all = append(all, Pair{p.Key, p.Value, 0})
	}
	return all
}
