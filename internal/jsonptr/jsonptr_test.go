package jsonptr_test

import (
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/jsonptr"
)

func TestLookupSharesMemory(t *testing.T) {
	doc := []byte(" { \"a\" : [ 1 , { \"b\" : -0.50e+1 \t} ] } \n")
	for pointer, want := range map[string]string{
		"":       "{ \"a\" : [ 1 , { \"b\" : -0.50e+1 \t} ] }",
		"/a":     "[ 1 , { \"b\" : -0.50e+1 \t} ]",
		"/a/0":   "1",
		"/a/1":   "{ \"b\" : -0.50e+1 \t}",
		"/a/1/b": "-0.50e+1",
	} {
		got, err := jsonptr.Lookup(doc, pointer)
		require.NoError(t, err, pointer)
		require.Equal(t, want, string(got), pointer)
		at := strings.Index(string(doc), want)
		require.Same(t, unsafe.SliceData(doc[at:]), unsafe.SliceData(got), pointer)
		require.Equal(t, len(got), cap(got), "appending to the result must not write to the document")
	}
}

func TestLookupScalarCopies(t *testing.T) {
	for _, doc := range []string{`{"a":"secret"}`, `{"a":"s\u0065cret"}`, `{"a":123456}`,
		`{"a":false}`} {
		text := []byte(doc)
		got, err := jsonptr.LookupScalar(text, "/a")
		require.NoError(t, err)
		before := strings.Clone(got)
		clear(text)
		require.Equal(t, before, got)
	}
}

func TestLookupScalarUnescapes(t *testing.T) {
	for doc, want := range map[string]string{
		`"\b\f\n\r\t\"\\\/"`:     "\b\f\n\r\t\"\\/",
		`"\u0000\uABCD\uabcd"`:   "\x00\uabcd\uabcd",
		`"\uD83D\ude00\ufffd\""`: "😀\ufffd\"",
		"\"\ufffd\"":             "\ufffd",
		`"é"`:                    "é",
		`""`:                     "",
		`-0.0E-0`:                "-0.0E-0",
	} {
		got, err := jsonptr.LookupScalar([]byte(doc), "")
		require.NoError(t, err, doc)
		require.Equal(t, want, got)
	}
}

func TestLookupDuplicateNames(t *testing.T) {
	for _, c := range []struct{ doc, pointer, want string }{
		{`{"a":1,"a":2}`, "/a", "2"},
		{`{"a":{"b":1},"a":{"b":2}}`, "/a/b", "2"},
		{`{"a":1,"\u0061":2}`, "/a", "2"},
		{`{"a":{"b":1,"b":{"c":3}},"x":{"b":9}}`, "/a/b/c", "3"},
		{`{"a":{"c":2},"a":{"b":1}}`, "/a/b", "1"},
		{`{"a":[1],"a":[5,6]}`, "/a/1", "6"},
		{`{"a":{"b":1},"a":{"c":2}}`, "/a/b", ""},
		{`{"a":{"b":1},"a":7}`, "/a/b", ""},
		{`{"a":[1,2],"a":[]}`, "/a/0", ""},
		{`{"a":{"b":{"c":1}},"a":{"b":[]}}`, "/a/b/c", ""},
		{`{"a":{"b":"1","b":null}}`, "/a/b", ""},
	} {
		got, err := jsonptr.LookupScalar([]byte(c.doc), c.pointer)
		if c.want == "" {
			require.ErrorIs(t, err, fault.Pointer, c.doc)
			continue
		}
		require.NoError(t, err, c.doc)
		require.Equal(t, c.want, got, c.doc)
	}
}

func TestErrorsHideDocument(t *testing.T) {
	for _, c := range []struct{ doc, pointer, want string }{
		{`{"sib":1}`, "/b", `no member "b" in the object at the top level`},
		{`{"a":{"sib":1}}`, "/a/x~1y/z", `no member "x/y" in the object at "/a"`},
		{`{"a":{"b":1},"a":{"sib":2}}`, "/a/b", `no member "b" in the object at "/a"`},
		{`[1,2]`, "/7", `index 7 is past the end of the array at the top level (2 elements)`},
		{`{"a":[1]}`, "/a/1/x", `index 1 is past the end of the array at "/a" (1 element)`},
		{`{"a":[]}`, "/a/99999999999999999999",
			`index 99999999999999999999 is past the end of the array at "/a" (0 elements)`},
		{`[0,[1,2,3]]`, "/1/7", `index 7 is past the end of the array at "/1" (3 elements)`},
		{`[1]`, "/100000000000000000000",
			`index 100000000000000000000 is past the end of the array at the top level (1 element)`},
		{`{"a":[1]}`, "/a/-", `"-" is not an index into the array at "/a"`},
		{`{"a":[1]}`, "/a/00", `"00" is not an index into the array at "/a"`},
		{`{"a":"sib"}`, "/a/b", `the value at "/a" is a string, it has no members`},
		{`{"a":77}`, "/a/b", `the value at "/a" is a number, it has no members`},
		{`{"a":null}`, "/a/b", `the value at "/a" is null, it has no members`},
		{`true`, "/a", `the value at the top level is a boolean, it has no members`},
		{`{"a":null}`, "/a", `the value at "/a" is null, not a string, a number or a boolean`},
		{`{"a":{}}`, "/a", `the value at "/a" is an object, not a string, a number or a boolean`},
		{`[[]]`, "/0", `the value at "/0" is an array, not a string, a number or a boolean`},
		{`{"sib":1}`, "", `the value at the top level is an object, not a string, a number or a boolean`},
	} {
		_, err := jsonptr.LookupScalar([]byte(c.doc), c.pointer)
		require.ErrorIs(t, err, fault.Pointer, "%s in %s", c.pointer, c.doc)
		require.EqualError(t, err, fault.Pointer.Error()+": "+c.want)
	}
	for doc, want := range map[string]string{
		``:                             "unexpected end of JSON at byte 0",
		`  `:                           "unexpected end of JSON at byte 2",
		`{"a":"secret`:                 "unexpected end of JSON at byte 12",
		`{"a":"secret"`:                "unexpected end of JSON at byte 13",
		`{"a":tru`:                     "unexpected end of JSON at byte 8",
		`{"a":trie}`:                   "invalid character at byte 7",
		`{"a":-}`:                      "invalid character at byte 6",
		`{"a":01}`:                     "invalid character at byte 6",
		`{"a":1.`:                      "unexpected end of JSON at byte 7",
		`{"a":"\u12`:                   "unexpected end of JSON at byte 10",
		`{"a":"\u12fg"}`:               "invalid character at byte 11",
		`{"a":"\u12xy"}`:               "invalid character at byte 10",
		`{"a":"\x"}`:                   "invalid character at byte 7",
		`{"a":"\ud800"}`:               "unpaired surrogate escape at byte 6",
		`{"a":"\ud800\n"}`:             "unpaired surrogate escape at byte 6",
		`{"a":"\ud800\u0041"}`:         "unpaired surrogate escape at byte 6",
		`{"a":"\udc00\ud800"}`:         "unpaired surrogate escape at byte 6",
		"{\"a\":\"1234567\xff\"}":      "invalid UTF-8 at byte 13",
		"{\"a\":\"\xed\xa0\x80\"}":     "invalid UTF-8 at byte 6",
		"{\"a\":\"abcdefgh\nsecret\"}": "invalid character at byte 14",
		`{"a":1}}`:                     "more text after the JSON value, at byte 7",
		"\ufeff{}":                     "byte order mark at byte 0: JSON is UTF-8 without one",
		`{"a":1]`:                      "invalid character at byte 6",
		`{"b":[1}`:                     "invalid character at byte 7",
		`{a:1}`:                        "invalid character at byte 1",
		`{"a"}`:                        "invalid character at byte 4",
		`{"a":1,}`:                     "invalid character at byte 7",
		`[1,]`:                         "invalid character at byte 3",
	} {
		for _, pointer := range []string{"", "/a", "/b/0"} {
			_, err := jsonptr.Lookup([]byte(doc), pointer)
			require.ErrorIs(t, err, fault.Syntax, doc)
			require.NotErrorIs(t, err, fault.Pointer, doc)
			require.EqualError(t, err, fault.Syntax.Error()+": "+want, "%q with %q", doc, pointer)
		}
	}
}

func TestValidPointer(t *testing.T) {
	for _, p := range []string{"", "/", "//", "/a~0~1b", "/é", "/ ", "/\x00", `/"\`} {
		require.NoError(t, jsonptr.ValidPointer(p), "%q", p)
	}
	for p, want := range map[string]string{
		"password": `a pointer begins with a slash (did you mean "/password"?)`,
		"a/b":      `a pointer begins with a slash (did you mean "/a/b"?)`,
		"a~2":      `a pointer begins with a slash`,
		"a\xff":    `a pointer begins with a slash`,
		"/a~":      `"~" at byte 2 is not "~0" (for "~") or "~1" (for "/")`,
		"/~2":      `"~" at byte 1 is not "~0" (for "~") or "~1" (for "/")`,
		"/~/0":     `"~" at byte 1 is not "~0" (for "~") or "~1" (for "/")`,
		"/\xff":    `the pointer is not valid UTF-8`,
	} {
		err := jsonptr.ValidPointer(p)
		require.ErrorIs(t, err, fault.Syntax, "%q", p)
		require.EqualError(t, err, fault.Syntax.Error()+": "+want)
		_, lookupErr := jsonptr.Lookup([]byte(`not JSON`), p)
		require.Equal(t, err, lookupErr)
	}
}

func TestTokens(t *testing.T) {
	require.Empty(t, slices.Collect(jsonptr.Tokens("")))
	require.Equal(t, []string{""}, slices.Collect(jsonptr.Tokens("/")))
	require.Equal(t, []string{"~1", "a/b~", "", "c"}, slices.Collect(jsonptr.Tokens("/~01/a~1b~0//c")))
	for token := range jsonptr.Tokens("/first/second") {
		require.Equal(t, "first", token)
		break
	}
}

func TestMemberNames(t *testing.T) {
	doc := []byte(`{"x": {"b" : 1 , "a\u002fb":[{"no":0}], "b":{}, "":""}, "y":[], "z":{ }}`)
	require.Equal(t, []string{"b", "a/b", ""}, jsonptr.MemberNames(doc, "/x"))
	require.Equal(t, []string{"x", "y", "z"}, jsonptr.MemberNames(doc, ""))
	for _, pointer := range []string{"/y", "/z", "/nothing", "x"} {
		require.Empty(t, jsonptr.MemberNames(doc, pointer), pointer)
	}
	require.Nil(t, jsonptr.MemberNames(doc[1:], ""))
}

func TestStringAndSkip(t *testing.T) {
	text := `<"name" : "v\n", "list":[1,{"a":2}] >rest`
	value, next, err := jsonptr.String(text, 1)
	require.NoError(t, err)
	require.Equal(t, "name", value)
	require.Equal(t, 10, jsonptr.SkipSpace(text, next+3))
	value, next, err = jsonptr.String(text, 10)
	require.NoError(t, err)
	require.Equal(t, "v\n", value)
	require.Equal(t, ',', rune(text[next]))
	next, err = jsonptr.Skip(text, strings.IndexByte(text, '['))
	require.NoError(t, err)
	require.Equal(t, " >rest", text[next:])

	for _, i := range []int{0, 2, len(text)} {
		_, _, err = jsonptr.String(text, i)
		require.ErrorIs(t, err, fault.Syntax)
		_, err = jsonptr.Skip(text, i)
		require.ErrorIs(t, err, fault.Syntax)
	}
	require.Equal(t, len(text), jsonptr.SkipSpace(text, len(text)))
}

func TestStringEveryByte(t *testing.T) {
	for length := range 40 {
		for at := range length {
			for c := range 256 {
				body := []byte(strings.Repeat("x", length))
				body[at] = byte(c)
				doc := slices.Concat([]byte(`{"`), body, []byte(`":"`), body, []byte(`"}`))
				wantValid := c >= ' ' && c < 0x80 && c != '"' && c != '\\'
				if err := jsonptr.Valid(doc); strictlyValid(doc) != (err == nil) || wantValid && err != nil {
					t.Fatalf("Valid(%q) = %v", doc, err)
				}
			}
		}
	}
}

func TestAllocations(t *testing.T) {
	escaped := []byte(`{"\u0070assword":"x","a":[0,{"q~/":"v\n"}],"n":12345678,"b":true}`)
	text := string(escaped)
	lookup := func(doc []byte, pointer string) func() {
		return func() { _, _ = jsonptr.Lookup(doc, pointer) }
	}
	scalar := func(doc []byte, pointer string) func() {
		return func() { _, _ = jsonptr.LookupScalar(doc, pointer) }
	}
	for _, c := range []struct {
		name string
		want float64
		run  func()
	}{
		{"Valid", 0, func() { _ = jsonptr.Valid(escaped) }},
		{"Lookup", 0, lookup(escaped, "/n")},
		{"Lookup by an escaped name", 0, lookup(escaped, "/password")},
		{"Lookup by an escaped token", 0, lookup(escaped, "/a/1/q~0~1")},
		{"Lookup in 64 KiB", 0, lookup(dense(64<<10), "/password")},
		{"LookupScalar of a plain string", 1, scalar(escaped, "/password")},
		{"LookupScalar of an escaped string", 1, scalar(escaped, "/a/1/q~0~1")},
		{"LookupScalar of a number", 1, scalar(escaped, "/n")},
		{"LookupScalarString of a plain string", 0,
			func() { _, _ = jsonptr.LookupScalarString(text, "/password") }},
		{"String", 0, func() { _, _, _ = jsonptr.String(`"plain text"`, 0) }},
		{"Skip", 0, func() { _, _ = jsonptr.Skip(text, 0) }},
	} {
		require.LessOrEqual(t, testing.AllocsPerRun(100, c.run), c.want, c.name)
	}
}
