package ui

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// endless is an infinite input.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestReadAll_limit(t *testing.T) {
	_, err := ReadAll(t.Context(), endless{}, MaxInput)
	assert.EqualError(t, err, "standard input is longer than 16 MiB")
}

func TestReadLine_removesOneNewline(t *testing.T) {
	for typed, want := range map[string]string{
		"":             "",
		"value":        "value",
		"value\n":      "value",
		"value\r\n":    "value",
		"value\n\n":    "value\n",
		"value\r":      "value\r",
		" value \n":    " value ",
		"\nvalue\r\n":  "\nvalue",
		"two\nlines\n": "two\nlines",
	} {
		got, err := ReadLine(t.Context(), strings.NewReader(typed))
		require.NoError(t, err)
		assert.Equal(t, want, got, "%q", typed)
	}
}
