package ref

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Near reports whether x becomes y by at most limit typing errors: a character
// left out, one too many, a wrong one, or two neighbours swapped (optimal
// string alignment).
func Near(x, y string, limit int) bool {
	return near(x, y, limit, func(c rune) rune { return c })
}

// nearFold is Near in any letter case.
func nearFold(x, y string, limit int) bool {
	return strings.EqualFold(x, y) || near(x, y, limit, unicode.ToLower)
}

// most is longer than any field name and its typing errors.
const most = 40

func near(x, y string, limit int, fold func(rune) rune) bool {
	n, m := utf8.RuneCountInString(x), utf8.RuneCountInString(y)
	if n-m > limit || m-n > limit {
		return false
	}
	if n > most || m > most {
		return x == y
	}
	var roomA, roomB [most]rune
	a, b := letters(&roomA, x, fold), letters(&roomB, y, fold)
	var rows [3][most + 1]int
	before, above, row := &rows[0], &rows[1], &rows[2]
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
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)] <= limit
}

// letters puts the folded runes of s into room.
func letters(room *[most]rune, s string, fold func(rune) rune) []rune {
	n := 0
	for _, c := range s {
		room[n] = fold(c)
		n++
	}
	return room[:n]
}

// suggest returns the field that name is most likely meant to be, or "". The
// fields of the preferred backend come first.
func suggest(name string, prefer Kind) string {
	folded := Fold(name)
	order := [...]Kind{prefer, AWS, Vault, Keyring}
	for limit := range 3 {
		for _, kind := range order {
			if kind == 0 || kind == Custom {
				continue
			}
			for i := range schemas[kind] {
				want := schemas[kind][i].name
				// Two errors in a short word make any other word.
				if (limit < 2 || len(want) > 5) && nearFold(folded, want, limit) {
					return want
				}
			}
		}
	}
	switch folded {
	case "secretname", "secretarn", "secret":
		return fieldSecretID
	case "pointer", "jsonpointer", "secretkey":
		return fieldSecretPointer
	case "url", "address", "addr":
		return fieldEndpoint
	case "auth", "authtype", "authentication", "authmethod":
		return fieldAuthenticationType
	}
	return ""
}

// Fold removes what people vary without meaning another name.
func Fold(name string) string {
	return strings.Map(func(c rune) rune {
		switch c {
		case '_', '-', ' ', '.':
			return -1
		}
		return c
	}, strings.ToLower(name))
}
