package ref_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

func TestFind(t *testing.T) {
	text := "a{b}\n{ENC}" + awsSample + "}<ENC><\"keyring\":\"x>\">z"
	var found []string
	for {
		start, end, ok, err := ref.Find(text)
		require.NoError(t, err)
		if !ok {
			break
		}
		found = append(found, text[start:end])
		text = text[end:]
	}
	require.Equal(t, []string{"{ENC}" + awsSample, `<ENC><"keyring":"x>">`}, found)
	require.Equal(t, "z", text)

	for _, text := range []string{"{ENC}", "{ENC}x", "a {enc}{}", "{ENC}{", `{ENC}{"region":"`,
		"{ENC}{ATL_SECURED}", `{ENC}{"a" 1}`} {
		_, _, ok, err := ref.Find(text)
		require.True(t, ok, text)
		require.Error(t, err, text)
	}
}

func TestFindMisspeltPrefix(t *testing.T) {
	for _, prefix := range []string{"{enc}", "[ENC]", "{ ENC }", "{ENC", "ENC}", "(ENC)", "{ENV}",
		`\{ENC\}`, "{ENC>", "&lt;ENC>"} {
		_, _, ok, err := ref.Find("x://" + prefix + awsSample + "@host")
		require.True(t, ok, prefix)
		require.ErrorIs(t, err, fault.Syntax, prefix)
	}
	for _, text := range []string{"the ENC prefix", "{a}{b}", "x(end){y}", "{EN}", `{"enc":{"a":1}}`,
		"", "fence}", "ENCODED{\"a\"}"} {
		_, _, ok, err := ref.Find(text)
		require.False(t, ok, text)
		require.NoError(t, err)
	}
}
