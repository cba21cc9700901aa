package cipher_test

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/cipher"
	"github.com/seed74218947/secretref/internal/atlassian/cipher/javaobj"
	"github.com/seed74218947/secretref/internal/atlassian/cipher/javaobj/javaobjtest"
	"github.com/seed74218947/secretref/internal/fault"
)

func errorIs(err, target error) bool { return errors.Is(err, target) }

// openInline opens a pair whose object is in the value.
func openInline(t testing.TB, sealed javaobj.Sealed, key javaobj.Key) (string, error) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key"), javaobjtest.Key(key), 0o600))
	return cipher.Algorithm{Dir: dir}.Open(
		`{"serializedSealedObject":"` + base64.StdEncoding.EncodeToString(javaobjtest.Sealed(sealed)) +
			`","keyFilePath":"key"}`)
}

func TestAlgorithmValueForms(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t,
		os.WriteFile(filepath.Join(dir, "o"),
			javaobjtest.Sealed(encrypt(t, cbc, key16, javaobjtest.String("secret"))), 0o600))
	require.NoError(t,
		os.WriteFile(filepath.Join(dir, "k"),
			javaobjtest.Key(javaobj.Key{Algorithm: "AES", Encoded: key16}), 0o600))
	for _, value := range []string{
		`{"sealedObjectFilePath":"o","keyFilePath":"k"}`,
		`{ENC}{"sealedObjectFilePath":"o","keyFilePath":"k"}`,
		"\n\t{ENC} \n {\"sealedObjectFilePath\" : \"o\" ,\n \"keyFilePath\" : \"k\" } \r\n",
		`<ENC>{"sealedObjectFilePath":"o","keyFilePath":"k"}`,
		`{"keyFilePath":"k","sealedObjectFilePath":"o"}`,
		`{"\u006beyFilePath":"\u006b","sealedObjectFilePath":".\/o"}`,
		`{"sealedObjectFilePath":"o","keyFilePath":"k","algorithm":"AES/CBC/PKCS5PADDING"}`,
		`{"sealedObjectFilePath":"o","keyFilePath":"k","algorithm":"aes/cbc/pkcs5padding","algorithmKey":"aes"}`,
	} {
		got, err := cipher.Algorithm{Dir: dir}.Open(value)
		require.NoError(t, err, value)
		require.Equal(t, "secret", got)
	}
}

func TestAlgorithmValueMistakes(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t,
		os.WriteFile(filepath.Join(dir, "o"),
			javaobjtest.Sealed(encrypt(t, cbc, key16, javaobjtest.String("secret"))), 0o600))
	require.NoError(t,
		os.WriteFile(filepath.Join(dir, "k"),
			javaobjtest.Key(javaobj.Key{Algorithm: "AES", Encoded: key16}), 0o600))
	const rest = `,"sealedObjectFilePath":"o","keyFilePath":"k"}`
	for _, c := range []struct {
		value string
		kind  error
		says  string
	}{
		{``, fault.Syntax, "the value is empty"},
		{`{ENC}`, fault.Syntax, "the value is empty"},
		{`hunter2`, fault.Syntax, "does not begin"},
		{`c2VjcmV0`, fault.Syntax, "Base64"},
		{`{ENC}hunter2`, fault.Syntax, "does not begin"},
		{`{ENC}{ENC}{}`, fault.Syntax, "JSON"},
		{`[]`, fault.Syntax, "does not begin"},
		{`"{}"`, fault.Syntax, "does not begin"},
		{`{`, fault.Syntax, "end of JSON"},
		{`{"keyFilePath":"k"`, fault.Syntax, "end of JSON"},
		{`{} {}`, fault.Syntax, "JSON"},
		{`{'keyFilePath':'k'}`, fault.Syntax, "JSON"},
		{`{"keyFilePath":"k",}`, fault.Syntax, "JSON"},
		{"{\"keyFilePath\":\"\xff\"}", fault.Syntax, "UTF-8"},
		{`{ATL_SECURED}`, fault.Unsupported, "internal store"},
		{`{ENC}{ATL_SECURED}`, fault.Unsupported, "internal store"},
		{`{{ATL_SECURED}}`, fault.Syntax, "JSON"},
		{`{"` + strings.Repeat("x", 2<<20) + `":""}`, fault.Unsupported, "longer"},
		{inlineObject(t), fault.Syntax, "serializedSealedObject"},

		{`{"sealedObjectFilePath":"o","sealedObjectFilePath":"o","keyFilePath":"k"}`, fault.Syntax,
			`"sealedObjectFilePath" appears twice`},
		{`{"x":1,"x":2` + rest, fault.Syntax, `"x" appears twice`},
		{`{"sealedObjectFilePath":"o","keyFilePath":null}`, fault.Syntax,
			`"keyFilePath" must be a string`},
		{`{"sealedObjectFilePath":["o"],"keyFilePath":"k"}`, fault.Syntax,
			`"sealedObjectFilePath" must be a string`},
		{`{"sealedObjectFilePath":"o","keyFilePath":1}`, fault.Syntax, `"keyFilePath" must be a string`},
		{`{"algorithm":true` + rest, fault.Syntax, `"algorithm" must be a string`},
		{`{"sealedObjectFilePath":"o","keyFilePath":""}`, fault.Syntax, `"keyFilePath" is empty`},
		{`{"sealedObjectFilePath":" ","keyFilePath":"k"}`, fault.Syntax,
			`"sealedObjectFilePath" is empty`},
		{`{"serializedSealedObject":"rO0ABX"` + rest, fault.Syntax, "remove one"},
		{`{"serializedSealedObject":"c2VjcmV0","keyFilePath":"k"}`, fault.Syntax, "rO0AB"},
		{`{"serializedSealedObject":"rO0ABX-_","keyFilePath":"k"}`, fault.Syntax, "URL alphabet"},
		{`{"serializedSealedObject":"rO0ABXNy","keyFilePath":"k"}`, fault.Corrupt,
			"serializedSealedObject"},
		{`{"serializedSealedObject":"` +
			base64.StdEncoding.EncodeToString(append([]byte("\xac\xed\x00\x05\x70"),
				make([]byte, 1<<20)...)) + `","keyFilePath":"k"}`, fault.Unsupported, "larger"},
		{`{"plainTextPassword":"hunter2","algorithm":"AES/CBC/PKCS5Padding","algorithmKey":"AES"}`,
			fault.Syntax, "cipher tool"},

		{`{"sealedObjectFilepath":"o","keyFilePath":"k"}`, fault.Syntax,
			`unknown field "sealedObjectFilepath" (did you mean "sealedObjectFilePath"?)`},
		{`{"SealedObjectFilePath":"o","keyFilePath":"k"}`, fault.Syntax,
			`did you mean "sealedObjectFilePath"?`},
		{`{"sealed_object_file_path":"o","keyFilePath":"k"}`, fault.Syntax,
			`did you mean "sealedObjectFilePath"?`},
		{`{"sealedObjectFilePath":"o","keyFilePat":"k"}`, fault.Syntax, `did you mean "keyFilePath"?`},
		{`{"sealedObjectFilePath":"o","keyfile":"k"}`, fault.Syntax, `did you mean "keyFilePath"?`},
		{`{"algorythm":"AES"` + rest, fault.Syntax, `did you mean "algorithm"?`},
		{`{"serialisedSealedObject":"rO0AB"` + rest, fault.Syntax,
			`did you mean "serializedSealedObject"?`},
		{`{"comment":"x"` + rest, fault.Syntax, `unknown field "comment"`},
		{`{"hunter2!":"x"` + rest, fault.Syntax, `unknown field at byte 1`},
		{`{"a":{"keyFilePath":"x"}` + rest, fault.Syntax, `unknown field "a"`},
		{`{"region":"eu-west-1","secretId":"db"}`, fault.Syntax,
			"but the cipher class is AlgorithmSecretStore"},
		{`{"mount":"a","path":"b","key":"c","endpoint":"d"}`, fault.Syntax,
			"but the cipher class is AlgorithmSecretStore"},

		{`{"algorithm":"AES/GCM/NoPadding"` + rest, fault.Unsupported, "AES/GCM/NoPadding"},
		{`{"algorithm":"DES/CBC/PKCS5Padding"` + rest, fault.Syntax, "another algorithm"},
		{`{"algorithmKey":"DES"` + rest, fault.Syntax, "another algorithm"},
		{`{"algorithmKey":"HmacSHA256"` + rest, fault.Unsupported, "HmacSHA256"},
		{`{"sealedObjectFilePath":"rO0ABXNy","keyFilePath":"k"}`, fault.Syntax, "serialized Java object"},
		{`{"sealedObjectFilePath":"o\u0000","keyFilePath":"k"}`, fault.Syntax, "control character"},
	} {
		got, err := cipher.Algorithm{Dir: dir, Getenv: func(string) string { return "" }}.Open(c.value)
		name := c.value[:min(80, len(c.value))]
		require.ErrorIs(t, err, c.kind, name)
		require.ErrorContains(t, err, c.says, name)
		require.Empty(t, got)
		require.NotContains(t, err.Error(), "hunter2")
		require.Less(t, len(err.Error()), 600)
	}
}

// FuzzValue checks that Open opens nothing without files, and that no error quotes a
// possible secret.
func FuzzValue(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"sealedObjectFilePath":"o","keyFilePath":"k"}`,
		`{ENC}{"keyFilePath":"k","serializedSealedObject":"rO0ABXNy"}`,
		`{"a":1,"a":[{}]}`, `{"keyFilePat\u0068":"\ud83d\ude00"}`, `{"plainTextPassword":"x"}`,
		`{"region":"x"}`, `{ATL_SECURED}`, `hunter2`,
	} {
		f.Add(s)
	}
	f.Add(`{"keyFilePath":"k","serializedSealedObject":"` + inlineObject(f) + `"}`)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, value string) {
		asked := 0
		got, err := cipher.Algorithm{Dir: dir,
			Getenv: func(string) string { asked++; return "" }}.Open(value)
		require.Error(t, err)
		require.Empty(t, got)
		require.LessOrEqual(t, asked, 2)
		kinds := 0
		for _, kind := range []error{fault.Syntax, fault.Unsupported, fault.NotFound, fault.Denied,
			fault.Unavailable, fault.Corrupt} {
			if errors.Is(err, kind) {
				kinds++
			}
		}
		require.Equal(t, 1, kinds, "%v", err)
		if text := strings.TrimSpace(value); len(text) > 64 && !strings.HasPrefix(text, "{") {
			require.NotContains(t, err.Error(), text[:32])
		}
		require.Less(t, len(err.Error()), 2048)
	})
}
