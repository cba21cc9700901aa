package properties

import (
	"sort"
	"unicode/utf8"
)

// A Place holds the positions of a pair in the bytes passed to [Locate].
type Place struct {
	Pair

	// Start is the start of the pair's first line, before blanks, and End the end of
	// its last line, before the line end.
	Start, End int

	// Value is the start of the value, which ends at End. If the value is empty, it
	// is the position after the separator.
	Value int

	// Bare is set for a key without separator and value.
	Bare bool
}

// Locate is like [Parse] but returns positions, for editing.
func Locate(b []byte) ([]Place, error) {
	pairs, err := Parse(b)
	if err != nil {
		return nil, err
	}
	// Line ends and separators are ASCII, at the same offsets in every encoding.
	places := make([]Place, 0, len(pairs))
	var pieces []piece
	r := lineReader{in: b, line: 1, pieces: &pieces}
	for {
		pieces = pieces[:0]
		logical, _, ok := r.next()
		if !ok {
			return places, nil
		}
		key, value := split(logical)
		p := Place{Pair: pairs[len(places)], End: r.end, Bare: len(key) == len(logical)}
		p.Start = pieces[0].from
		for p.Start > 0 && !isEOL(b[p.Start-1]) {
			p.Start--
		}
		p.Value = origin(pieces, len(logical)-len(value), len(value) == 0)
		places = append(places, p)
	}
}

// origin returns the offset in the file of a byte of the logical line. If end is set,
// it is the offset after the byte before it.
func origin(pieces []piece, at int, end bool) int {
	if end && at > 0 {
		return origin(pieces, at-1, false) + 1
	}
	i := sort.Search(len(pieces), func(i int) bool { return pieces[i].at > at }) - 1
	return pieces[i].from + at - pieces[i].at
}

// Quote returns value escaped for use after a separator, in ASCII, which is the same
// in every encoding. It returns false for a value that is not UTF-8.
func Quote(value string) (string, bool) {
	const hex = "0123456789abcdef"
	if !utf8.ValidString(value) {
		return "", false
	}
	unit := func(out []byte, u rune) []byte {
		return append(out, '\\', 'u', hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15])
	}
	var out []byte
	for i, c := range value {
		switch {
		case c == '\t':
			out = append(out, `\t`...)
		case c == '\n':
			out = append(out, `\n`...)
		case c == '\r':
			out = append(out, `\r`...)
		case c == '\f':
			out = append(out, `\f`...)
		case c == '\\', i == 0 && (c == ' ' || c == '=' || c == ':'):
			out = append(out, '\\', byte(c))
		case ' ' <= c && c < 0x7F:
			out = append(out, byte(c))
		case c < 0x10000:
			out = unit(out, c)
		default:
			out = unit(unit(out, 0xD800+(c-0x10000)>>10), 0xDC00+(c-0x10000)&0x3FF)
		}
	}
	return string(out), true
}
