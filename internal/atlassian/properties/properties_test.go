package properties

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/test/vectors"
)

func TestParseVectors(t *testing.T) {
	for _, v := range vectors.LoadProperties(t) {
		t.Run(v.Name, func(t *testing.T) {
			want := v.UTF8
			if !utf8.Valid(v.Input) {
				want = v.Latin1
			}
			if strings.Contains(v.Name, "lone surrogate") {
				want = nil // not representable in a Go string
			}
			pairs, err := Parse(v.Input)
			if want == nil {
				require.ErrorIs(t, err, fault.Syntax)
				require.Nil(t, pairs)
				return
			}
			require.NoError(t, err)
			got := map[string]string{}
			for _, p := range pairs {
				got[p.Key] = p.Value
			}
			require.Equal(t, *want, got)
		})
	}
}

func TestParseOrder(t *testing.T) {
	tests := []struct {
		name, in string
		want     []Pair
	}{
		{"nothing", "", nil},
		{"only comments and blanks", "# a\n\n \t\f\n!b", nil},
		{"duplicates stay, in order", "b=1\na=2\nb=3\n",
			[]Pair{{"b", "1", 1}, {"a", "2", 2}, {"b", "3", 3}}},
		{"CRLF is one line end", "a=1\r\n\r\nb=2\r\n", []Pair{{"a", "1", 1}, {"b", "2", 3}}},
		{"CR alone ends a line", "a=1\r\rb=2", []Pair{{"a", "1", 1}, {"b", "2", 3}}},
		{"a pair stands where it begins", "\na=1\\\n  2\\\n  3\nb=4",
			[]Pair{{"a", "123", 2}, {"b", "4", 5}}},
		{"a lone backslash begins one", "\\\n  a=1", []Pair{{"a", "1", 1}}},
		{"but not a blank before it", "\\\n\n  a=1", []Pair{{"a", "1", 3}}},
		{"a comment may follow a lone backslash", "\\\n#x\na=1", []Pair{{"a", "1", 3}}},
		{"but not a continued text", "a=\\\n#x\nb=1", []Pair{{"a", "#x", 1}, {"b", "1", 3}}},
		{"a comment is never continued", "#x\\\na=1", []Pair{{"a", "1", 2}}},
		{"a blank continuation ends the line", "a=1\\\n   \nb=2", []Pair{{"a", "1", 1}, {"b", "2", 3}}},
		{"an even number of backslashes does not continue", "a=1\\\\\nb=2",
			[]Pair{{"a", `1\`, 1}, {"b", "2", 2}}},
		{"backslash at the end of the file", "a=1\\", []Pair{{"a", "1", 1}}},
		{"nothing else in the file", "\\", []Pair{{"", "", 1}}},
		{"nor before a last line feed", "\\\n", []Pair{{"", "", 1}}},
		{"but CRLF makes no pair", "\\\r\n", nil},
		{"continuation with CRLF", "a=1\\\r\n  2\r\n", []Pair{{"a", "12", 1}}},
		{"continuation within a key", "ab\\\n  cd=1", []Pair{{"abcd", "1", 1}}},
		{"empty key", "=1\n:2\n", []Pair{{"", "1", 1}, {"", "2", 2}}},
		{"only the first separator is one", "a = = b", []Pair{{"a", "= b", 1}}},
		{"a blank key needs its escape", `a\ b c`, []Pair{{"a b", "c", 1}}},
		{"trailing white space stays", "a=b \t", []Pair{{"a", "b \t", 1}}},
		{"vertical tab is text", "a\vb=c", []Pair{{"a\vb", "c", 1}}},
		{"BOM is text", "\ufeffa=b", []Pair{{"\ufeffa", "b", 1}}},
		{"BOM is text in ISO-8859-1 too", "\xef\xbb\xbfa=\xe4", []Pair{{"ï»¿a", "ä", 1}}},
		{"one bad byte makes it ISO-8859-1", "a=\xc3\xa4\xff", []Pair{{"a", "Ã¤ÿ", 1}}},
		{"surrogate pair", `a=\ud83d\ude00`, []Pair{{"a", "😀", 1}}},
		{"surrogate pair over two lines", "a=\\ud83d\\\n\\ude00", []Pair{{"a", "😀", 1}}},
		{"U+FFFD by its number", `a=\ufffd`, []Pair{{"a", "\ufffd", 1}}},
		{"a comment in ISO-8859-1", "# \xe4\na=b\n", []Pair{{"a", "b", 2}}},
		{"an escaped separator by its number", `a\u003db=c`, []Pair{{"a=b", "c", 1}}},
		{"an escaped backslash starts no escape", `a=\\u00zz`, []Pair{{"a", `\u00zz`, 1}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.in))
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestParseMalformedEscape(t *testing.T) {
	for name, in := range map[string]string{
		"too short":            "ok=1\n\njdbc.hunter2=hunter2\\u00",
		"not hexadecimal":      "ok=1\n\njdbc.hunter2=hunter2\\u00g0\nmore=1",
		"in the key":           "ok=1\n\nhunter2\\u0=hunter2",
		"two u":                "ok=1\n\nhunter2=\\uu0041",
		"after a surrogate":    "ok=1\n\nhunter2=\\ud83d\\u",
		"on a continuing line": "ok=1\n\nhunter2=1\\\n\\u00",
	} {
		t.Run(name, func(t *testing.T) {
			pairs, err := Parse([]byte(in))
			require.ErrorIs(t, err, fault.Syntax)
			require.ErrorContains(t, err, "line 3: ")
			require.NotContains(t, err.Error(), "hunter2")
			require.Nil(t, pairs)
		})
	}
}

func TestParseRefusesOtherPasswords(t *testing.T) {
	for name, in := range map[string]string{
		"a lone high surrogate":         `hunter2\ud83d`,
		"a lone low surrogate":          `hunter2\ude00`,
		"a high surrogate and a letter": `\ud83d\u0041hunter2`,
		"a high one before a pair":      `\ud83d\ud83d\ude00`,
		"a pair and a low one":          `\ud83d\ude00\ude00`,
		"the wrong way round":           `\ude00\ud83d`,
		"a high one and raw text":       `\ud83dx`,
		"halves on two lines":           "\\ud83d\\\n x\\ude00",
		"UTF-8 beside ISO-8859-1":       "h\xc3\xa4nter2\n# \xe4\n",
		"modified UTF-8, a surrogate":   "hunter2\xed\xa0\x80",
		"CESU-8, a pair":                "hunter2\xed\xa0\xbd\xed\xb8\x80",
		"modified UTF-8, NUL":           "hunter2\xc0\x80",
		"an overlong form":              "hunter2\xe0\x80\xaf",
		"more than Unicode has":         "hunter2\xf4\x90\x80\x80",
		"NUL":                           "hunter2\x00",
	} {
		t.Run(name, func(t *testing.T) {
			for _, line := range []string{"jdbc.password=" + in, in + "=x"} {
				pairs, err := Parse([]byte("ok=1\n\n" + line))
				require.ErrorIs(t, err, fault.Syntax)
				require.ErrorContains(t, err, "line 3: ")
				require.NotContains(t, err.Error(), "hunter2")
				require.Nil(t, pairs)
			}
		})
	}
	for name, in := range map[string]string{
		"UTF-16, little-endian": "\xff\xfea\x00=\x00b\x00",
		"UTF-16, big-endian":    "\xfe\xff\x00a\x00=\x00b", "without a mark": "a\x00=\x00b\x00",
		"only a mark": "\xff\xfe",
	} {
		_, err := Parse([]byte(in))
		require.ErrorIs(t, err, fault.Syntax, name)
		require.ErrorContains(t, err, "UTF-16", name)
	}
}

func TestParseLargeFile(t *testing.T) {
	const size = 4 << 20
	pairs, err := Parse([]byte("a=" + strings.Repeat("\\\n", size/2)))
	require.NoError(t, err)
	require.Equal(t, []Pair{{"a", "", 1}}, pairs)

	pairs, err = Parse([]byte(strings.Repeat("\\\n#\n", size/4) + "a=b"))
	require.NoError(t, err)
	require.Equal(t, []Pair{{"a", "b", size/2 + 1}}, pairs)

	pairs, err = Parse([]byte("a=" + strings.Repeat(`\u0041`, size/6)))
	require.NoError(t, err)
	require.Len(t, pairs[0].Value, size/6)
}

func BenchmarkParse(b *testing.B) {
	in := []byte(strings.Repeat("plugin.search.config.password={ENC}{\"region\":\"ap-southeast-2\",\"secretId\":\"search\"}\n", 20))
	for b.Loop() {
		if _, err := Parse(in); err != nil {
			b.Fatal(err)
		}
	}
}
