package secretref_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/fault"
)

// The document and the pointers of RFC 6901 §5.
func ExamplePointer_Lookup() {
	doc := []byte(`{
	   "foo": ["bar", "baz"],
	   "": 0,
	   "a/b": 1,
	   "c%d": 2,
	   "e^f": 3,
	   "g|h": 4,
	   "i\\j": 5,
	   "k\"l": 6,
	   " ": 7,
	   "m~n": 8
	}`)
	for _, s := range []string{
		"/foo", "/foo/0", "/", "/a~1b", "/c%d", "/e^f", "/g|h", `/i\j`, `/k"l`, "/ ", "/m~0n",
	} {
		p, err := secretref.ParsePointer(s)
		if err != nil {
			fmt.Println(err)
			continue
		}
		text, err := p.Lookup(doc)
		fmt.Printf("%-8q %s %v\n", s, text, err)
	}
	whole, err := secretref.Pointer("").Lookup(doc)
	fmt.Println(len(whole) == len(doc), err)
	// Output:
	// "/foo"   ["bar", "baz"] <nil>
	// "/foo/0" "bar" <nil>
	// "/"      0 <nil>
	// "/a~1b"  1 <nil>
	// "/c%d"   2 <nil>
	// "/e^f"   3 <nil>
	// "/g|h"   4 <nil>
	// "/i\\j"  5 <nil>
	// "/k\"l"  6 <nil>
	// "/ "     7 <nil>
	// "/m~0n"  8 <nil>
	// true <nil>
}

func ExamplePointer_LookupScalar() {
	secret := []byte(`{"db": {"username": "jira", "password": "tr\u0075stno1", "port": 5432, ` +
		`"options": {}}}`)

	password, err := secretref.Pointer("/db/password").LookupScalar(secret)
	fmt.Println(password, err)

	port, err := secretref.Pointer("/db/port").LookupScalar(secret)
	fmt.Println(port, err)

	_, err = secretref.Pointer("/db/passwort").LookupScalar(secret)
	fmt.Println(err)

	_, err = secretref.Pointer("/db/options").LookupScalar(secret)
	fmt.Println(err)
	// Output:
	// trustno1 <nil>
	// 5432 <nil>
	// secretref: pointer "/db/passwort": pointer does not lead to a value: no member "passwort" in the object at "/db"
	// secretref: pointer "/db/options": pointer does not lead to a value: the value at "/db/options" is an object, not a string, a number or a boolean
}

func ExampleParsePointer() {
	_, err := secretref.ParsePointer("password")
	fmt.Println(err)
	// Output:
	// secretref: pointer "password": syntax error: a pointer begins with a slash (did you mean "/password"?)
}

func ExamplePointer_Tokens() {
	for token := range secretref.Pointer("/m~0n/a~1b/0").Tokens() {
		fmt.Println(token)
	}
	// Output:
	// m~n
	// a/b
	// 0
}

func TestPointer_errors(t *testing.T) {
	for _, c := range []struct {
		pointer   secretref.Pointer
		doc, want string
		kind      error
	}{
		{"/a", `{"b":1}`,
			`secretref: pointer "/a": pointer does not lead to a value: no member "a" in the object at ` +
				`the top level`, fault.Pointer},
		{"/a", `{"b":1`,
			`secretref: pointer "/a": pointer does not lead to a value: the document has a syntax error: ` +
				`unexpected end of JSON at byte 6`, fault.Syntax},
		{"a", `{"b":1`,
			`secretref: pointer "a": syntax error: a pointer begins with a slash (did you mean "/a"?)`,
			fault.Syntax},
	} {
		text, err := c.pointer.Lookup([]byte(c.doc))
		require.Nil(t, text)
		require.ErrorIs(t, err, c.kind)
		require.EqualError(t, err, c.want)

		value, err := c.pointer.LookupScalar([]byte(c.doc))
		require.Empty(t, value)
		require.ErrorIs(t, err, c.kind)
		require.EqualError(t, err, c.want)
	}
}

func TestPointer_Tokens_invalid(t *testing.T) {
	for _, p := range []secretref.Pointer{"", "a/b", "/a~", "/~2", "/\xff"} {
		require.Empty(t, slices.Collect(p.Tokens()), "%q", p)
	}
}
