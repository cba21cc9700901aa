package secretref_test

import (
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestResolveStruct_unmarshaled(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	type config struct {
		Password     secretref.Secret
		Null, Absent secretref.Secret `secretref:"optional"`
		ByName       map[string]secretref.Secret
	}
	var c config
	document, err := json.Marshal(map[string]any{
		"Password": awsRef, "Null": nil, "ByName": map[string]string{"k": vaultRef},
	})
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(document, &c))
	require.NoError(t, r.ResolveStruct(t.Context(), &c))
	require.Equal(t, secretBehind, c.Password.Reveal())
	require.Equal(t, secretBehind, c.ByName["k"].Reveal())
	for _, s := range []secretref.Secret{c.Null, c.Absent} {
		require.Empty(t, s.Reveal())
	}

	var attr struct {
		Password secretref.Secret `xml:"password,attr"`
		Other    secretref.Secret `xml:"other"`
	}
	require.NoError(t, xml.Unmarshal([]byte(`<c password="plain"><other>`+awsRef+`</other></c>`),
		&attr))
	require.NoError(t, r.ResolveStruct(t.Context(), &attr))
	require.Equal(t, "plain", attr.Password.Reveal())
	require.Equal(t, secretBehind, attr.Other.Reveal())

	for _, bad := range []string{
		`{"Password":"[redacted]"}`, `{"Password":7}`, `{"Password":{"region":"` + canary + `"}}`,
	} {
		var c config
		err := json.Unmarshal([]byte(bad), &c)
		require.Error(t, err)
		require.NotContains(t, err.Error(), canary)
		require.True(t, c.Password.IsZero())
	}
}

// A decoder leaves a field unset if the text has no value for it.
func TestResolveStruct_neverSet(t *testing.T) {
	type config struct {
		Password secretref.Secret
		Tagged   string `secretref:"resolve"`
		List     []secretref.Secret
		Table    map[string]secretref.Secret
		Behind   *secretref.Secret
		Optional secretref.Secret   `secretref:"optional"`
		Text     string             `secretref:"resolve,optional"`
		Many     []secretref.Secret `secretref:"optional"`
	}
	zero := func() *config {
		return &config{List: make([]secretref.Secret, 1), Table: map[string]secretref.Secret{"k": {}},
			Behind: new(secretref.Secret), Many: make([]secretref.Secret, 2)}
	}
	for name, opts := range map[string]secretref.Options{
		"by default": {}, "under Strict": {Strict: true}, "with AllowEmpty": {AllowEmpty: true},
	} {
		t.Run(name, func(t *testing.T) {
			opts.Fake = configFake()
			r := secretref.New(&opts)
			defer r.Close()
			err := r.ResolveStruct(t.Context(), zero())
			require.ErrorIs(t, err, secretref.ErrNotReference)
			for _, field := range []string{"Password", "List[0]", `Table["k"]`, "Behind"} {
				require.ErrorContains(t, err,
					"secretref: "+field+": not a secret reference: the secret was never set")
			}
			for _, field := range []string{"Optional", "Text", "Many"} {
				require.NotContains(t, err.Error(), field)
			}
			if opts.AllowEmpty {
				require.NotContains(t, err.Error(), "Tagged", "an empty string may have been set")
			} else {
				require.ErrorContains(t, err, "secretref: Tagged: not a secret reference: the value is empty")
			}
			require.ErrorIs(t, r.ResolveStruct(t.Context(), new(secretref.Secret)),
				secretref.ErrNotReference)

			c := zero()
			c.Password, c.Tagged, c.List, c.Table, c.Behind = unresolved(t, awsRef), awsRef, nil, nil, nil
			require.NoError(t, r.ResolveStruct(t.Context(), c))
			require.Equal(t, secretBehind, c.Password.Reveal())
			require.True(t, c.Optional.IsZero())
		})
	}
	t.Run("accepts empty values with AllowEmpty", func(t *testing.T) {
		r := secretref.New(&secretref.Options{Fake: configFake(), AllowEmpty: true})
		defer r.Close()
		c := struct {
			Unmarshaled, Given secretref.Secret
			Optional           secretref.Secret `secretref:"optional"`
			Tagged             string           `secretref:"resolve"`
		}{Unmarshaled: unresolved(t, ""), Given: secretref.NewSecret(""),
			Optional: unresolved(t, awsRef)}
		require.NoError(t, r.ResolveStruct(t.Context(), &c))
		require.Empty(t, c.Unmarshaled.Reveal())
		require.Empty(t, c.Given.Reveal())
		require.Equal(t, secretBehind, c.Optional.Reveal())
	})
	t.Run("refuses empty values without AllowEmpty", func(t *testing.T) {
		r := secretref.New(&secretref.Options{Fake: configFake()})
		defer r.Close()
		for _, s := range []secretref.Secret{
			unresolved(t, ""), secretref.NewSecret(""), secretref.NewSecret(" "), unresolved(t, "\n"),
		} {
			c := struct {
				S secretref.Secret `secretref:"optional"`
			}{s}
			require.ErrorIs(t, r.ResolveStruct(t.Context(), &c), secretref.ErrNotReference)
		}
	})
}

func TestResolveStruct_newSecret(t *testing.T) {
	fake := configFake()
	fake.Set(`{"keyring":"odd"}`, awsRef) // a password that looks like a reference
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	c := struct{ Reference, Plain, Odd secretref.Secret }{
		secretref.NewSecret(awsRef), secretref.NewSecret("plain"),
		secretref.NewSecret(`{"keyring":"odd"}`),
	}
	for range 3 {
		require.NoError(t, r.ResolveStruct(t.Context(), &c))
		require.Equal(t, secretBehind, c.Reference.Reveal())
		require.Equal(t, "plain", c.Plain.Reveal())
		require.Equal(t, awsRef, c.Odd.Reveal(), "a resolved Secret is not resolved again")
	}
	bad := struct{ S secretref.Secret }{secretref.NewSecret("{ENC}" + canary)}
	err := r.ResolveStruct(t.Context(), &bad)
	require.ErrorIs(t, err, secretref.ErrSyntax)
	require.NotContains(t, err.Error(), canary)

	expanded, err := r.Expand(t.Context(), "x", nil)
	require.NoError(t, err)
	live, err := r.Watch(t.Context(), `{"keyring":"odd"}`)
	require.NoError(t, err)
	done := struct{ A, B secretref.Secret }{expanded, live.Value()}
	require.NoError(t, r.ResolveStruct(t.Context(), &done))
	require.Equal(t, awsRef, done.B.Reveal(), "a live value is resolved")
}

func TestResolveStruct_strict(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: configFake(), Strict: true})
	defer r.Close()
	c := struct{ A, B, C secretref.Secret }{
		unresolved(t, canary), unresolved(t, ""), unresolved(t, awsRef),
	}
	err := r.ResolveStruct(t.Context(), &c)
	require.ErrorIs(t, err, secretref.ErrNotReference)
	require.Len(t, strings.Split(err.Error(), "\n"), 2)
	require.NotContains(t, err.Error(), canary)
}
