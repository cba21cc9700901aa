package ref

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Near reports whether at most limit typing errors lead from x to y: a missing,
// an extra or a wrong character, or two swapped neighbours (optimal string
// alignment).
func Near(x, y string, limit int) bool {
	return near(x, y, limit, func(c rune) rune { return c })
}

// nearFold is Near without regard to letter case.
func nearFold(x, y string, limit int) bool {
	return strings.EqualFold(x, y) || near(x, y, limit, unicode.ToLower)
}

// maxNameRunes limits the names that are compared; field names are shorter.
const maxNameRunes = 40

func near(x, y string, limit int, fold func(rune) rune) bool {
	n, m := utf8.RuneCountInString(x), utf8.RuneCountInString(y)
	if n-m > limit || m-n > limit {
		return false
	}
	if n > maxNameRunes || m > maxNameRunes {
		return x == y
	}
	var bufferA, bufferB [maxNameRunes]rune
	a, b := foldedRunes(&bufferA, x, fold), foldedRunes(&bufferB, y, fold)
	var rows [3][maxNameRunes + 1]int
	twoAbove, above, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], twoAbove[j-2]+1)
			}
		}
		twoAbove, above, row = above, row, twoAbove
	}
	return above[len(b)] <= limit
}

// foldedRunes puts the folded runes of s into buffer.
func foldedRunes(buffer *[maxNameRunes]rune, s string, fold func(rune) rune) []rune {
	n := 0
	for _, c := range s {
		buffer[n] = fold(c)
		n++
	}
	return buffer[:n]
}

// suggest returns the name of the field that name most likely stands for, or "".
// Fields of the preferred kind come first.
func suggest(name string, preferred Kind) string {
	folded := Fold(name)
	for limit := range maxTypos + 1 {
		for i := range 1 + len(backends) {
			kind := preferred
			if i > 0 {
				kind = Kind(i - 1)
			}
			for _, f := range backends[kind].fields {
				if limit <= allowedTypos(f.name) && nearFold(folded, f.name, limit) {
					return f.name
				}
			}
		}
	}
	for _, b := range backends {
		for _, f := range b.fields {
			if slices.Contains(f.aliases, folded) {
				return f.name
			}
		}
	}
	return ""
}

const maxTypos = 2

// allowedTypos returns how many typing errors a misspelled field may have. Two
// errors turn a short word into any other word.
func allowedTypos(field string) int {
	if len(field) > 5 {
		return maxTypos
	}
	return 1
}

// Fold removes differences in spelling that do not make another name.
func Fold(name string) string {
	return strings.Map(func(c rune) rune {
		switch c {
		case '_', '-', ' ', '.':
			return -1
		}
		return c
	}, strings.ToLower(name))
}
