package jsonptr_test

import (
	"encoding/json"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/jsonptr"
	"github.com/seed74218947/secretref/internal/test/vectors"
)

// FuzzLookup checks that Lookup, LookupScalar, LookupScalarString and Valid agree with
// the oracle for every document and every pointer.
func FuzzLookup(f *testing.F) {
	for _, v := range vectors.LoadPointer(f) {
		f.Add(v.Doc, v.Pointer)
	}
	f.Add([]byte(`{"a":{"b":1},"\u0061":{"c":[true,{"~":null}]}}`), "/a/c/1/~0")
	f.Add([]byte("[ {} , [ ] , -1.5e+10 , \"\\ud83d\\ude00\u20ac\" ]"), "/3")
	f.Fuzz(checkAgainstOracle)
}

func checkAgainstOracle(t *testing.T, doc []byte, pointer string) {
	t.Helper()
	before := string(doc)
	validErr := jsonptr.Valid(doc)
	value, lookupErr := jsonptr.Lookup(doc, pointer)
	text, scalarErr := jsonptr.LookupScalar(doc, pointer)
	ofString, ofStringErr := jsonptr.LookupScalarString(before, pointer)

	require.Equal(t, before, string(doc), "the document was written to")
	require.Equal(t, strictlyValid(doc), validErr == nil, "Valid(%q): %v", doc, validErr)
	require.Equal(t, validPointer(pointer), jsonptr.ValidPointer(pointer) == nil, "ValidPointer(%q)",
		pointer)
	require.Equal(t, text, ofString)
	require.Equal(t, scalarErr, ofStringErr)

	if validErr != nil || !validPointer(pointer) {
		require.ErrorIs(t, lookupErr, fault.Syntax, "Lookup(%q, %q)", doc, pointer)
		require.ErrorIs(t, scalarErr, fault.Syntax, "LookupScalar(%q, %q)", doc, pointer)
		return
	}
	require.Equal(t, tokens(pointer), slices.Collect(jsonptr.Tokens(pointer)))
	root, err := parse(doc)
	require.NoError(t, err)
	want := root.follow(pointer)
	if want == nil {
		require.ErrorIs(t, lookupErr, fault.Pointer, "Lookup(%q, %q)", doc, pointer)
		require.ErrorIs(t, scalarErr, fault.Pointer, "LookupScalar(%q, %q)", doc, pointer)
		require.Nil(t, jsonptr.MemberNames(doc, pointer))
		return
	}
	require.NoError(t, lookupErr, "Lookup(%q, %q)", doc, pointer)
	require.Equal(t, want.text, string(value), "Lookup(%q, %q)", doc, pointer)
	if wantText, ok := want.scalarText(); ok {
		require.NoError(t, scalarErr, "LookupScalar(%q, %q)", doc, pointer)
		require.Equal(t, wantText, text, "LookupScalar(%q, %q)", doc, pointer)
	} else {
		require.ErrorIs(t, scalarErr, fault.Pointer, "LookupScalar(%q, %q)", doc, pointer)
	}
	names := jsonptr.MemberNames(doc, pointer)
	require.Len(t, names, len(want.members))
	for _, name := range names {
		require.Contains(t, want.members, name)
	}
}

// FuzzString checks that String reads the output of json.Marshal, and that encoding/json
// reads the same from any other accepted text.
func FuzzString(f *testing.F) {
	for _, seed := range []string{``, `a`, `"\`, "\u2028€😀", "\x00\x1f", `\ud83d\ude00`, `\ud800`,
		`a"b`, "\xff", `12345678"`, `\u12`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if utf8.ValidString(text) {
			quoted, err := json.Marshal(text)
			require.NoError(t, err)
			value, next, err := jsonptr.String(string(quoted)+"tail", 0)
			require.NoError(t, err)
			require.Equal(t, len(quoted), next)
			require.Equal(t, text, value)
		}

		literal := `"` + text
		value, next, err := jsonptr.String(literal, 0)
		if err != nil {
			require.ErrorIs(t, err, fault.Syntax)
			require.False(t, strictlyValid([]byte(literal)), "String refuses %q: %v", literal, err)
			if strictlyValid([]byte(literal + `"`)) {
				require.Equal(t, len(literal), next, "String stops inside %q: %v", literal, err)
			}
			return
		}
		var want string
		require.NoError(t, json.Unmarshal([]byte(literal[:next]), &want))
		require.Equal(t, want, value)
		skipped, err := jsonptr.Skip(literal, 0)
		require.NoError(t, err)
		require.Equal(t, next, skipped)
	})
}

// syntaxErrorText matches the only allowed texts of syntax errors.
var syntaxErrorText = regexp.MustCompile(`^syntax error: (` +
	`(invalid character|unexpected end of JSON|invalid UTF-8|unpaired surrogate escape|nested more than 10000 deep) at byte \d+` +
	`|more text after the JSON value, at byte \d+` +
	`|byte order mark at byte 0: JSON is UTF-8 without one)$`)

func TestLookupMutatedDocuments(t *testing.T) {
	rounds := 200_000
	if testing.Short() {
		rounds = 20_000
	}
	var corpus [][]byte
	for _, v := range vectors.LoadPointer(t) {
		if len(v.Doc) < 300 {
			corpus = append(corpus, v.Doc)
		}
	}
	corpus = append(corpus, small(), structured(600), dense(500),
		[]byte("{\n  \"a\" : [ 1 , -0.5e-3, true,\tfalse, null ],\r\n  \"b\\\\\\u00e9\\ud83d\\ude00\" : { } , \"é€😀 and some more text\": [ ]\n}\n"))
	const bytesThatMatter = "{}[]\",:\\/ \t\r\n0123456789+-.eEtrufalsn\x00\x1f\x7f\x80\xbf\xc0\xc3\xa9\xe2\xed\xa0\xf0\xf4\x90\xff"
	random := rand.New(rand.NewPCG(8259, 6901))
	valid := 0
	for range rounds {
		doc := slices.Clone(corpus[random.IntN(len(corpus))])
		for range 1 + random.IntN(3) {
			at, c := random.IntN(len(doc)+1), bytesThatMatter[random.IntN(len(bytesThatMatter))]
			switch {
			case at == len(doc) || random.IntN(3) == 0:
				doc = slices.Insert(doc, at, c)
			case random.IntN(2) == 0:
				doc = slices.Delete(doc, at, at+1)
			default:
				doc[at] = c
			}
		}
		err := jsonptr.Valid(doc)
		if strict := strictlyValid(doc); strict != (err == nil) {
			t.Fatalf("Valid(%q) = %v, want valid: %t", doc, err, strict)
		}
		if err == nil {
			valid++
		} else if !syntaxErrorText.MatchString(err.Error()) {
			t.Fatalf("Valid(%q) says %q", doc, err)
		}
	}
	require.Greater(t, valid, rounds/50, "too few mutations were harmless for the test to mean much")
}
