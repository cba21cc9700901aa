package properties

import (
	"sort"
	"unicode/utf8"
)

// A Place is where a pair stands in the bytes given to [Locate].
type Place struct {
	Pair

	// Start is where the first line of the pair begins, blanks included, and End
	// where the text of its last one ends: before the line end, if there is one.
	Start, End int

	// Value is where the value begins: End is its end. In an empty value it is
	// behind the separator.
	Value int

	// Bare is set if nothing at all separates the key from its value, which is
	// empty then.
	Bare bool
}

// Locate is [Parse] for who wants to change the file.
func Locate(b []byte) ([]Place, error) {
	pairs, err := Parse(b)
	if err != nil {
		return nil, err
	}
	// What has a meaning is ASCII: lines and separators are where Parse found
	// them, whatever the encoding.
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

// origin returns from where the byte at an offset of the logical line comes, or
// for an end the place behind the byte before it.
func origin(pieces []piece, at int, end bool) int {
	if end && at > 0 {
		return origin(pieces, at-1, false) + 1
	}
	i := sort.Search(len(pieces), func(i int) bool { return pieces[i].at > at }) - 1
	return pieces[i].from + at - pieces[i].at
}

// Quote returns value as it is written behind a separator, in ASCII, so that it
// means the same in every encoding. Some values cannot be written: Quote
// returns false for one that is not UTF-8.
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
