package secretref_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestFake(t *testing.T) {
	fake := secretref.NewFake()
	r := secretref.New(&secretref.Options{Fake: fake, TTL: -1})
	defer r.Close()
	resolve := func(value string) (string, error) {
		s, err := r.Resolve(t.Context(), value)
		return s.Reveal(), err
	}
	_, err := resolve(awsRef)
	require.ErrorIs(t, err, secretref.ErrNotFound)

	fake.Set(awsRef, "one")
	text, err := resolve(`<ENC>` + strings.TrimPrefix(awsRef, "{ENC}"))
	require.NoError(t, err)
	require.Equal(t, "one", text)
	_, err = resolve(strings.Replace(awsRef, "/password", "/other", 1))
	require.ErrorIs(t, err, secretref.ErrPointer)

	fake.Set(`{"region":"eu-west-1","secretId":"doc"}`, `{"a":{"b":"two"}}`)
	text, err = resolve(`{"region":"eu-west-1","secretId":"doc","secretPointer":"/a/b"}`)
	require.NoError(t, err)
	require.Equal(t, "two", text)
	_, err = resolve(`{"region":"eu-west-1","secretId":"doc","secretPointer":"/a"}`)
	require.ErrorIs(t, err, secretref.ErrPointer)

	fake.Fail(awsRef, secretref.ErrUnavailable)
	before := fake.Calls()
	_, err = resolve(awsRef)
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.Equal(t, 1, fake.Calls()-before, "a failure is not retried")
	fake.Fail(awsRef, nil)
	text, err = resolve(awsRef)
	require.NoError(t, err)
	require.Equal(t, "one", text)
	require.Panics(t, func() { fake.Set("plain", "x") })
}

func TestFake_document(t *testing.T) {
	const whole = ""
	at := func(pointer string) string {
		return secretref.AWSReference{Region: "eu-west-1", SecretID: "doc",
			SecretPointer: secretref.Pointer(pointer)}.String()
	}
	type values map[string]string // by pointer
	composed := map[string]struct {
		set  values
		want values // besides set, except for the whole secret
	}{
		"whole scalar":             {values{whole: "12345"}, values{whole: "12345"}},
		"whole text after a value": {values{whole: "123 abc"}, values{whole: "123 abc"}},
		"whole not UTF-8":          {values{whole: "\xff"}, values{whole: "\xff"}},
		"whole JSON": {values{whole: ` {"a": "<", "a":1e400, "b":"\ud800"} `},
			values{whole: ` {"a": "<", "a":1e400, "b":"\ud800"} `}},
		"pointers only": {values{"/a/b": "<&>", "/a/c": "", "/0": "\u2028\x00", "/-": "x", "/": "\\\""},
			values{}},
		"escaped tokens": {values{"/~0~1": "x", "/~01": "y"}, values{whole: `{"~1":"y","~/":"x"}`}},
		"rest of the whole stays": {
			values{whole: "{ \"z\": \"<\\u003c\", \"a\":1.50, \"a\" :2 ,\n \"n\":null}\n", "/a": "<x>"},
			values{whole: "{ \"z\": \"<\\u003c\", \"a\":1.50, \"a\" :\"<x>\" ,\n \"n\":null}\n",
				"/z": "<<"}},
		"null is replaced": {values{whole: `{"a":null}`, "/a": "x"}, values{whole: `{"a":"x"}`}},
		"members are added": {values{whole: "{\"a\": 1\n}", "/b/c": "x", "/b/d": "y"},
			values{whole: "{\"a\": 1,\"b\":{\"c\":\"x\",\"d\":\"y\"}\n}", "/a": "1"}},
		"member of an empty object":   {values{whole: `{ }`, "/a": "x"}, values{whole: `{"a":"x" }`}},
		"added to the last duplicate": {values{whole: `{"a":{"b":1},"a":{}}`, "/a/b": "x"}, values{}},
		"array element": {values{whole: `["a", "b"]`, "/1": "x"},
			values{whole: `["a", "x"]`, "/0": "a"}},
		"member of an array element": {values{whole: `[{}]`, "/0/a": "x"}, values{whole: `[{"a":"x"}]`}},
		"siblings with a common prefix": {values{"/a": "x", "/ab": "y", "/a!": "z"},
			values{whole: `{"a":"x","a!":"z","ab":"y"}`}},
	}
	for name, c := range composed {
		t.Run(name, func(t *testing.T) {
			fake := secretref.NewFake()
			r := secretref.New(&secretref.Options{Fake: fake, TTL: -1})
			defer r.Close()
			for pointer, text := range c.set {
				fake.Set(at(pointer), text)
				if pointer != whole {
					c.want[pointer] = text
				}
			}
			for pointer, want := range c.want {
				got, err := r.Resolve(t.Context(), at(pointer))
				require.NoError(t, err, pointer)
				require.Equal(t, want, got.Reveal(), pointer)
			}
		})
	}

	conflicts := map[string]struct {
		first, firstText, second string
		reason                   string
	}{
		"number":               {whole, "12345", "/password", "not an object or array"},
		"boolean":              {whole, "true", "/password", "not an object or array"},
		"null":                 {whole, "null", "/password", "not an object or array"},
		"string":               {whole, `"s"`, "/password", "not an object or array"},
		"not JSON":             {whole, "hunter2", "/password", "not JSON"},
		"empty":                {whole, "", "/password", "not JSON"},
		"text after a value":   {whole, `123 abc`, "/password", "not JSON"},
		"text after an object": {whole, `{} {}`, "/password", "not JSON"},
		"half a pair":          {whole, `{"a":"\ud800"}`, "/password", "not JSON"},
		"index past the end":   {whole, `["a","b"]`, "/2", "past the end"},
		"dash":                 {whole, `["a","b"]`, "/-", "not an index"},
		"leading zero":         {whole, `["a","b"]`, "/00", "not an index"},
		"sign":                 {whole, `["a","b"]`, "/+1", "not an index"},
		"below a missing one":  {whole, `["a","b"]`, "/2/x", "past the end"},
		"through a scalar":     {whole, `{"a":1}`, "/a/b", "has no members"},
		"to an object":         {whole, `{"a":{"b":1}}`, "/a", "is an object or array"},
		"parent first":         {"/a", "x", "/a/b", `the value at "/a" has no members`},
		"child first":          {"/a/b/c", "x", "/a", `the value at "/a" has no members`},
	}
	for name, c := range conflicts {
		t.Run("conflict "+name, func(t *testing.T) {
			fake := secretref.NewFake()
			r := secretref.New(&secretref.Options{Fake: fake, TTL: -1})
			defer r.Close()
			fake.Set(at(c.first), c.firstText)
			text := panicText(t, func() { fake.Set(at(c.second), canary) })
			require.Contains(t, text, at(c.first))
			require.Contains(t, text, at(c.second))
			require.Contains(t, text, "one secret is one document")
			require.Contains(t, text, c.reason)
			require.NotContains(t, text, canary)
			got, err := r.Resolve(t.Context(), at(c.first))
			if c.firstText != "" {
				require.NoError(t, err)
			}
			require.Equal(t, c.firstText, got.Reveal(), "the Fake is unchanged")
		})
	}

	t.Run("the whole after a pointer", func(t *testing.T) {
		fake := secretref.NewFake()
		fake.Set(at("/a"), "x")
		text := panicText(t, func() { fake.Set(at(whole), "hunter2") })
		require.Contains(t, text, at(whole))
		require.Contains(t, text, at("/a"))
		require.NotContains(t, text, "hunter2")
	})
	t.Run("a value that is not UTF-8", func(t *testing.T) {
		for _, reference := range []string{at("/b"), vaultRef} {
			fake := secretref.NewFake()
			fake.Set(at("/a"), "x")
			text := panicText(t, func() { fake.Set(reference, "\xff") })
			require.Contains(t, text, reference)
			require.Contains(t, text, "not UTF-8")
			r := secretref.New(&secretref.Options{Fake: fake, TTL: -1})
			defer r.Close()
			got, err := r.Resolve(t.Context(), at("/a"))
			require.NoError(t, err)
			require.Equal(t, "x", got.Reveal())
		}
	})
	t.Run("Vault keys", func(t *testing.T) {
		key := func(key string) string {
			return secretref.VaultReference{Endpoint: "https://vault.example.com", Mount: "secret",
				Path: "db", Key: key}.String()
		}
		fake := secretref.NewFake()
		r := secretref.New(&secretref.Options{Fake: fake, TTL: -1})
		defer r.Close()
		for _, name := range []string{"a", "a/b", "~", "~1"} {
			fake.Set(key(name), "<"+name)
		}
		for _, name := range []string{"a", "a/b", "~", "~1"} {
			got, err := r.Resolve(t.Context(), key(name))
			require.NoError(t, err)
			require.Equal(t, "<"+name, got.Reveal())
		}
	})
}

// panicText returns the text with which f panics.
func panicText(t *testing.T, f func()) (text string) {
	t.Helper()
	defer func() { text = fmt.Sprint(recover()) }()
	f()
	return ""
}
