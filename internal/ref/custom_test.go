package ref_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

func TestParseCustom(t *testing.T) {
	g := ref.Grammar{Customs: []ref.CustomBackend{
		{Class: "com.example.Azure", Fields: []string{"vaultUri", "secretName"}},
		{Class: "com.example.AzureVersioned", Fields: []string{"vaultUri", "secretName", "version"}},
		{Class: "com.example.SSM", Fields: []string{"ssmParameter", "region"}},
		{Class: "com.example.ByClassOnly"},
	}}
	r, err := g.Parse(`{ENC}{"vaultUri":"https://x", "secretName":"db", "other":1}`)
	require.NoError(t, err)
	require.Equal(t,
		ref.Reference{Kind: ref.Custom, Class: "com.example.Azure",
			Text: `{"vaultUri":"https://x", "secretName":"db", "other":1}`}, r)
	again, err := g.Parse(r.String())
	require.NoError(t, err)
	require.Equal(t, r, again)

	r, err = g.Parse(`<ENC><"vaultUri":"https://x","secretName":"db","version":"2">`)
	require.NoError(t, err)
	require.Equal(t,
		ref.Reference{Kind: ref.Custom, Class: "com.example.AzureVersioned",
			Text: `{"vaultUri":"https://x","secretName":"db","version":"2"}`}, r)

	r, err = g.Parse(`{"ssmParameter":"/db","region":"eu-west-1"}`)
	require.NoError(t, err)
	require.Equal(t, "com.example.SSM", r.Class)

	for value, says := range map[string]string{
		`{"vaultUri":"https://x"}`:                                       `field "secretName" is missing`,
		`{"vaultUri":"https://x","secretname":"db"}`:                     `did you mean "secretName"?`,
		`{"vaulturi":"https://x","secretName":"db"}`:                     `did you mean "vaultUri"?`,
		`{"vaultUri":"https://x","secretName":"db","keyring":"x"}`:       "different backends",
		`"vaultUri":"https://x","secretName":"db"}`:                      "brace",
		`{"vaultUri":"https://x","secretName":"db"`:                      "cut short",
		`{ENC}{"vaultUri":"https://x","vaultUri":"x","secretName":"db"}`: "twice",
	} {
		_, err := g.Parse(value)
		require.ErrorIs(t, err, fault.Syntax, value)
		require.Contains(t, err.Error(), says, value)
	}

	r, err = g.Parse(awsSample)
	require.NoError(t, err)
	require.Equal(t, ref.AWS, r.Kind)

	var without ref.Grammar
	_, err = without.Parse(`{"vaultUri":"https://x","secretName":"db"}`)
	require.ErrorIs(t, err, fault.NotReference)
}

func TestParseCustomMisspelt(t *testing.T) {
	g := ref.Grammar{Customs: []ref.CustomBackend{{Class: "a", Fields: []string{"vault.uri"}},
		{Class: "b", Fields: []string{"Vault Name"}}}}
	for _, value := range []string{`{"Vault.Uri":"x"}`, `{"vault name":"x"}`, `{"vault.url":"x"}`,
		`{"Vault Nam":"x"}`} {
		_, err := g.Parse(value)
		require.ErrorIs(t, err, fault.Syntax, value)
	}
}
