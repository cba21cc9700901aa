package ui

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain é ✓":  "plain é ✓",
		"\x1b[2Jred": `"\x1b[2Jred"`,
		"two\nlines": `"two\nlines"`,
		"\xff":       `"\xff"`,
		"\u202eabc":  `"\u202eabc"`,
	} {
		assert.Equal(t, want, Printable(text))
	}
}
