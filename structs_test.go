package secretref_test

import (
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
		for range 3 {
			require.NoError(t, r.ResolveStruct(t.Context(), c))
			require.Equal(t, &part{
				Text: `{"keyring":"inner"}`, Texts: map[string]string{"a": "{ENC}what a password"},
				Parts: map[string]part2{"b": {Text: `{"keyring":"inner"}`}}}, c)
		}
		c.Text = `{"keyring":"odd"}`
		require.NoError(t, r.ResolveStruct(t.Context(), c))
		require.Equal(t, "{ENC}what a password", c.Text, "a new value is resolved")
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
	require.Panics(t, func() { _ = c.hidden.Reveal() }, "unexported fields are left alone")
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
	require.NoError(t, r.ResolveStruct(t.Context(), &c.S), "a Secret is itself a struct")
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
	require.NoError(t, r.ResolveStruct(t.Context(), &c), "a retry succeeds")
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
