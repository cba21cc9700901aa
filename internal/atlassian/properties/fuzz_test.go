package properties

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/test/vectors"
)

// FuzzParse checks that Parse agrees with a reader that works one UTF-16 unit at a
// time, and that its pairs survive being written and read again.
func FuzzParse(f *testing.F) {
	for _, v := range vectors.LoadProperties(f) {
		f.Add(v.Input)
	}
	f.Add([]byte("a=\\ud83d\\\r\n\\ude00"))
	f.Add([]byte("\\\r\n\\\n#\\\n!\\\r"))
	f.Fuzz(func(t *testing.T, b []byte) {
		want, ok := naive(b)
		got, err := Parse(b)
		require.Equal(t, ok, err == nil, "%v", err)
		if !ok {
			return
		}
		var flat []string
		var stored strings.Builder
		for _, p := range got {
			require.True(t, utf8.ValidString(p.Key) && utf8.ValidString(p.Value))
			require.Positive(t, p.Line)
			flat = append(flat, p.Key, p.Value)
			fmt.Fprintf(&stored, "%s=%s\n", escape(p.Key), escape(p.Value))
		}
		require.Equal(t, want, flat)
		again, err := Parse([]byte(stored.String()))
		require.NoError(t, err)
		require.Len(t, again, len(got))
		for i := range got {
			require.Equal(t, Pair{got[i].Key, got[i].Value, i + 1}, again[i])
		}
	})
}

// escape writes all characters but letters and digits as \u escapes.
func escape(s string) string {
	var out strings.Builder
	for _, unit := range utf16.Encode([]rune(s)) {
		if '0' <= unit && unit <= '9' || 'a' <= unit && unit <= 'z' {
			out.WriteByte(byte(unit))
		} else {
			fmt.Fprintf(&out, `\u%04X`, unit)
		}
	}
	return out.String()
}

// invalidUTF8Form matches overlong forms, surrogates and code points beyond Unicode,
// in bytes that were read as ISO-8859-1.
var invalidUTF8Form = regexp.MustCompile(strings.Join([]string{
	`[\xc0\xc1][\x80-\xbf]`, `\xe0[\x80-\x9f][\x80-\xbf]`, `\xed[\xa0-\xbf][\x80-\xbf]`,
	`\xf0[\x80-\x8f][\x80-\xbf]{2}`, `\xf4[\x90-\xbf][\x80-\xbf]{2}`, `[\xf5-\xf7][\x80-\xbf]{3}`,
}, "|"))

// naive parses b in slow steps: into UTF-16, then into units with a flag for escaped
// ones, then into keys and values.
func naive(b []byte) (flat []string, ok bool) {
	type unit struct {
		c       uint16
		escaped bool
	}
	runes := []rune(string(b))
	if !utf8.Valid(b) {
		runes = nil
		for _, c := range b {
			runes = append(runes, rune(c))
		}
	}
	in := utf16.Encode(runes)
	blank := func(c uint16) bool { return c == ' ' || c == '\t' || c == '\f' }
	eol := func(c uint16) bool { return c == '\n' || c == '\r' }
	text := func(units []unit) string {
		var s []uint16
		for _, u := range units {
			s = append(s, u.c)
		}
		ok = ok && slices.Equal(s, utf16.Encode(utf16.Decode(s))) // otherwise an unpaired surrogate
		return string(utf16.Decode(s))
	}

	ok = !bytes.ContainsRune(b, 0) && !strings.HasPrefix(string(b), "\xff\xfe") &&
		!strings.HasPrefix(string(b), "\xfe\xff")
	for i := 0; i < len(in); {
		if blank(in[i]) || eol(in[i]) {
			i++
			continue
		}
		if in[i] == '#' || in[i] == '!' {
			for i < len(in) && !eol(in[i]) {
				i++
			}
			continue
		}

		// One logical line, with all escapes decoded but \u, whose digits may be
		// on the next physical line.
		var raw []uint16
		pair := true
		for i < len(in) && !eol(in[i]) {
			if in[i] != '\\' {
				raw = append(raw, in[i])
				i++
				continue
			}
			i++
			if i < len(in) && !eol(in[i]) {
				raw = append(raw, '\\', in[i])
				i++
				continue
			}
			if i+1 >= len(in) { // the end of the file, or of its last line
				i = len(in)
				break
			}
			if in[i] == '\r' && in[i+1] == '\n' {
				i++
			}
			i++
			for i < len(in) && blank(in[i]) {
				i++
			}
			if len(raw) == 0 && (i == len(in) || eol(in[i]) || in[i] == '#' || in[i] == '!') {
				pair = false // no text yet: a comment is possible
				break
			}
		}
		if !pair {
			continue
		}

		if !utf8.Valid(b) {
			var bytes []byte
			for _, u := range raw {
				bytes = append(bytes, byte(u))
			}
			latin1 := string(utf16.Decode(raw))
			if len(latin1) > len(raw) && utf8.Valid(bytes) || invalidUTF8Form.MatchString(latin1) {
				ok = false
			}
		}

		var line []unit
		for j := 0; j < len(raw); j++ {
			if raw[j] != '\\' {
				line = append(line, unit{raw[j], false})
				continue
			}
			j++
			c := raw[j]
			switch c {
			case 't':
				c = '\t'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 'f':
				c = '\f'
			case 'u':
				c = 0
				for range 4 {
					j++
					if j >= len(raw) {
						return nil, false
					}
					digit := strings.IndexRune("0123456789abcdef", rune(raw[j]|0x20))
					if digit < 0 || raw[j] < '0' {
						return nil, false
					}
					c = c<<4 | uint16(digit)
				}
			}
			line = append(line, unit{c, true})
		}
		is := func(j int, set string) bool {
			return j < len(line) && !line[j].escaped && strings.ContainsRune(set, rune(line[j].c))
		}
		end := 0
		for end < len(line) && !is(end, "=: \t\f") {
			end++
		}
		start := end
		for is(start, " \t\f") {
			start++
		}
		if is(start, "=:") {
			start++
		}
		for is(start, " \t\f") {
			start++
		}
		flat = append(flat, text(line[:end]), text(line[start:]))
	}
	return flat, ok
}
