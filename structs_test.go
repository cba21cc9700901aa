package secretref_test

import (
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestResolveStruct_taggedStringOnce(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"keyring":"outer"}`, `{"keyring":"inner"}`)
	fake.Set(`{"keyring":"inner"}`, "never fetched")
	fake.Set(`{"keyring":"odd"}`, "{ENC}what a password")
	type part struct {
		Text  string            `secretref:"resolve"`
		Texts map[string]string `secretref:"resolve"`
		Parts map[string]part2
	}
	for _, strict := range []bool{false, true} {
		r := secretref.New(&secretref.Options{Fake: fake, Strict: strict})
		defer r.Close()
		c := &part{Text: `{"keyring":"outer"}`, Texts: map[string]string{"a": `{"keyring":"odd"}`},
			Parts: map[string]part2{"b": {Text: `{"keyring":"outer"}`}}}
		require.NoError(t, r.ResolveStruct(t.Context(), c))
		require.Equal(t, &part{
			Text: `{"keyring":"inner"}`, Texts: map[string]string{"a": "{ENC}what a password"},
			Parts: map[string]part2{"b": {Text: `{"keyring":"inner"}`}}}, c)
	}
}

type part2 struct {
	Text string `secretref:"resolve"`
}

func TestResolveStruct_tooDeep(t *testing.T) {
	type node struct {
		Password secretref.Secret
		Next     *node
	}
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	var list *node
	for range 20_000 {
		list = &node{Next: list}
	}
	require.ErrorIs(t, r.ResolveStruct(t.Context(), list), secretref.ErrUnsupported)
}

type embedded struct {
	Embedded secretref.Secret
}

type nested struct {
	Password secretref.Secret
	Tagged   string `secretref:"resolve"`
}

func TestResolveStruct(t *testing.T) {
	fake := configFake()
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	type named string
	one := func() secretref.Secret { return unresolved(t, awsRef) }
	pointed, text := one(), awsRef
	var c struct {
		embedded
		Plain    secretref.Secret
		Field    secretref.Secret
		Tagged   named             `secretref:"resolve"`
		Pointer  *string           `secretref:"resolve"`
		List     []string          `secretref:"resolve"`
		Table    map[string]string `secretref:"resolve"`
		Untagged string
		Nested   nested
		Behind   *nested
		Secret   *secretref.Secret
		Slice    []nested
		Array    [2]secretref.Secret
		Map      map[string]secretref.Secret
		Maps     map[string]map[int]nested
		Any      any
		hidden   secretref.Secret
		Nothing  *nested
	}
	c.Embedded, c.Plain, c.Field, c.hidden = one(), unresolved(t, "plain"), one(), one()
	c.Tagged, c.Pointer, c.List, c.Table = awsRef, &text, []string{"plain", awsRef},
		map[string]string{"k": awsRef}
	c.Untagged = awsRef
	c.Nested, c.Behind, c.Secret = nested{one(), awsRef}, &nested{one(), awsRef}, &pointed
	c.Slice, c.Array = []nested{{secretref.NewSecret(awsRef), awsRef}, {one(), awsRef}},
		[2]secretref.Secret{one(), one()}
	done, err := r.Resolve(t.Context(), awsRef)
	require.NoError(t, err)
	c.Map = map[string]secretref.Secret{"k": one(), "done": done}
	c.Maps = map[string]map[int]nested{"a": {1: {one(), awsRef}}}
	c.Any = &nested{one(), awsRef}

	require.NoError(t, r.ResolveStruct(t.Context(), &c))
	require.Equal(t, 1, fake.Calls(), "one secret is one fetch")
	require.Equal(t, "plain", c.Plain.Reveal())
	for name, s := range map[string]secretref.Secret{
		"embedded": c.Embedded, "field": c.Field, "nested": c.Nested.Password,
		"behind a pointer": c.Behind.Password, "pointed to": pointed,
		"in a slice": c.Slice[1].Password, "in an array": c.Array[1], "in a map": c.Map["k"],
		"in maps": c.Maps["a"][1].Password,
	} {
		require.Equal(t, secretBehind, s.Reveal(), name)
	}
	for name, s := range map[string]string{
		"field": string(c.Tagged), "pointed to": text, "in a slice": c.List[1], "in a map": c.Table["k"],
		"nested":           c.Nested.Tagged,
		"behind a pointer": c.Behind.Tagged, "in a struct of a slice": c.Slice[1].Tagged,
		"in maps": c.Maps["a"][1].Tagged,
	} {
		require.Equal(t, secretBehind, s, name)
	}
	require.Equal(t, "plain", c.List[0])
	require.Equal(t, awsRef, c.Untagged)
	require.Equal(t, secretBehind, c.Map["done"].Reveal())
	require.Equal(t, secretBehind, c.Slice[0].Password.Reveal(), "made with NewSecret")
	require.Panics(t, func() { _ = c.hidden.Reveal() }, "left alone, so still unresolved")
	left := c.Any.(*nested)
	require.Panics(t, func() { _ = left.Password.Reveal() })
	require.Equal(t, awsRef, left.Tagged)
}

func TestResolveStruct_twice(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"keyring":"a"}`, `{"keyring":"b"}`) // a password that looks like a reference
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	c := struct{ S secretref.Secret }{unresolved(t, `{"keyring":"a"}`)}
	for range 2 {
		require.NoError(t, r.ResolveStruct(t.Context(), &c))
		require.Equal(t, `{"keyring":"b"}`, c.S.Reveal())
	}
	require.Equal(t, 1, fake.Calls())
	require.NoError(t, r.ResolveStruct(t.Context(), &c.S), "a Secret is a struct itself")
}

func TestResolveStruct_cycles(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	type node struct {
		Next *node
		S    secretref.Secret
	}
	n := &node{S: unresolved(t, awsRef)}
	n.Next = &node{Next: n, S: unresolved(t, awsRef)}
	require.NoError(t, r.ResolveStruct(t.Context(), n))
	require.Equal(t, secretBehind, n.S.Reveal())
	require.Equal(t, secretBehind, n.Next.S.Reveal())
}

func TestResolveStruct_allOrNothing(t *testing.T) {
	fake := configFake()
	fake.Fail(vaultRef, secretref.ErrDenied)
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	type config struct {
		Good   secretref.Secret
		Text   string `secretref:"resolve"`
		Table  map[string]secretref.Secret
		Tagged map[string]string `secretref:"resolve"`
		DB     struct{ Password secretref.Secret }
		List   []nested
	}
	c := config{Good: unresolved(t, awsRef), Text: awsRef,
		Table:  map[string]secretref.Secret{"k": unresolved(t, awsRef)},
		Tagged: map[string]string{"k": awsRef}, List: []nested{
			{Password: unresolved(t, `{"region":"eu-west-1","secretId":"missing"}`), Tagged: "plain"},
		}}
	c.DB.Password = unresolved(t, vaultRef)

	err := r.ResolveStruct(t.Context(), &c)
	require.ErrorIs(t, err, secretref.ErrDenied)
	require.ErrorIs(t, err, secretref.ErrNotFound)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], "secretref: DB.Password: "+vaultRef)
	require.Contains(t, lines[1], "secretref: List[0].Password: ")
	require.Panics(t, func() { _ = c.Good.Reveal() })
	require.Equal(t, awsRef, c.Text)
	inTable := c.Table["k"]
	require.Panics(t, func() { _ = inTable.Reveal() })
	require.Equal(t, awsRef, c.Tagged["k"])

	fake.Set(vaultRef, "later")
	c.List = nil
	require.NoError(t, r.ResolveStruct(t.Context(), &c), "it can be tried again")
	require.Equal(t, "later", c.DB.Password.Reveal())
	require.Equal(t, secretBehind, c.Table["k"].Reveal())
}

func TestResolveStruct_malformed(t *testing.T) {
	fake := configFake()
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	c := struct {
		A secretref.Secret
		B string `secretref:"resolve"`
	}{unresolved(t, awsRef), "{ENC}" + canary}
	err := r.ResolveStruct(t.Context(), &c)
	require.ErrorIs(t, err, secretref.ErrSyntax)
	require.NotContains(t, err.Error(), canary)
	var located *secretref.Error
	require.ErrorAs(t, err, &located)
	require.Equal(t, "B", located.Source)
	require.Zero(t, fake.Calls())
}

func TestResolveStruct_unsupported(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	text := "x"
	for _, arg := range []any{
		nil, "x", &text, struct{}{}, nested{}, (*nested)(nil), map[string]secretref.Secret{},
		&[]secretref.Secret{},
		&struct {
			N int `secretref:"resolve"`
		}{},
		&struct {
			S string `secretref:"reslove"`
		}{},
		&struct {
			s string `secretref:"resolve"`
		}{s: awsRef},
	} {
		require.ErrorIs(t, r.ResolveStruct(t.Context(), arg), secretref.ErrUnsupported, "%T", arg)
	}
	require.NoError(t, r.ResolveStruct(t.Context(), &struct{}{}))
}

func TestResolveStruct_unmarshalled(t *testing.T) {
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

// What decoders leave in a field that they found no text for.
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
				require.NotContains(t, err.Error(), "Tagged", "an empty string may be one that was set")
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
	t.Run("but takes empty values with AllowEmpty", func(t *testing.T) {
		r := secretref.New(&secretref.Options{Fake: configFake(), AllowEmpty: true})
		defer r.Close()
		c := struct {
			Unmarshalled, Given secretref.Secret
			Optional            secretref.Secret `secretref:"optional"`
			Tagged              string           `secretref:"resolve"`
		}{Unmarshalled: unresolved(t, ""), Given: secretref.NewSecret(""),
			Optional: unresolved(t, awsRef)}
		require.NoError(t, r.ResolveStruct(t.Context(), &c))
		require.Empty(t, c.Unmarshalled.Reveal())
		require.Empty(t, c.Given.Reveal())
		require.Equal(t, secretBehind, c.Optional.Reveal())
	})
	t.Run("and empty values without it", func(t *testing.T) {
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
		require.Equal(t, awsRef, c.Odd.Reveal(), "what was resolved is not resolved again")
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

func TestResolveStruct_definedTypes(t *testing.T) {
	type Password secretref.Secret
	fake := secretref.NewFake()
	fake.Set(vaultRef, "behind")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	var unset struct {
		A Password
		B Password `secretref:"optional"`
	}
	err := r.ResolveStruct(t.Context(), &unset)
	require.ErrorIs(t, err, secretref.ErrNotReference)
	require.ErrorContains(t, err, "A: ")
	require.NotContains(t, err.Error(), "B: ")

	set := struct {
		One Password
		All []Password
		Map map[string]*Password
	}{Password(secretref.NewSecret(vaultRef)), []Password{Password(secretref.NewSecret(vaultRef))},
		map[string]*Password{"a": new(Password(secretref.NewSecret(vaultRef)))}}
	require.NoError(t, r.ResolveStruct(t.Context(), &set))
	for _, p := range []Password{set.One, set.All[0], *set.Map["a"]} {
		require.Equal(t, "behind", secretref.Secret(p).Reveal())
	}
}
