package ref_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

const (
	awsSample   = `{"region":"ap-southeast-2","secretId":"mySecretId","secretPointer":"/password"}`
	vaultSample = `{"mount":"secret","path":"sample/secret","key":"password","endpoint":"https://vault.example.com"}`
)

func parse(t *testing.T, value string) ref.Reference {
	t.Helper()
	var g ref.Grammar
	r, err := g.Parse(value)
	require.NoError(t, err, value)
	return r
}

func TestParseForms(t *testing.T) {
	want := ref.Reference{Kind: ref.AWS, Region: "ap-southeast-2", SecretID: "mySecretId",
		Pointer: "/password"}
	for _, value := range []string{
		awsSample,
		`{ENC}` + awsSample,
		`<ENC>` + awsSample,
		`{ENC}<"region":"ap-southeast-2","secretId":"mySecretId","secretPointer":"/password">`,
		`<ENC><"region":"ap-southeast-2","secretId":"mySecretId", "secretPointer": "/password">`,
		"\n  {ENC}" + awsSample + "\t\r\n",
		"{ENC} \n " + awsSample,
		" \u00a0" + awsSample + "\u2003",
		`{ENC}{ "secretPointer" : "/password" , "secretId" : "mySecretId" , "region" : "ap-southeast-2" }`,
		`{ENC}{"\u0072egion":"ap-southeast-2","secretId":"my\u0053ecretId","secretPointer":"\/password"}`,
	} {
		require.Equal(t, want, parse(t, value), value)
	}
}

func TestParseBackends(t *testing.T) {
	require.Equal(t,
		ref.Reference{Kind: ref.AWS, Region: "us-gov-west-1", SecretID: "a b/é",
			EndpointOverride: "http://127.0.0.1:4566/"},
		parse(t, `{"region":"us-gov-west-1","secretId":"a b/é","endpointOverride":"http://127.0.0.1:4566/"}`))
	require.Equal(t,
		ref.Reference{Kind: ref.Vault, Mount: "secret", Path: "sample/secret", Key: "password",
			Endpoint: "https://vault.example.com", Auth: ref.TokenAuth}, parse(t, vaultSample))
	require.Equal(t,
		ref.Reference{Kind: ref.Vault, Mount: "team/kv", Path: "a", Key: "pass word/~",
			Endpoint: "https://[::1]:8200/base/", Auth: ref.KubernetesAuth},
		parse(t, `{"mount":"team/kv","path":"a","key":"pass word/~","endpoint":"https://[::1]:8200/base/","authenticationType":"KUBERNETES"}`))
	require.Equal(t, ref.Reference{Kind: ref.Keyring, Name: "jdbc-password"},
		parse(t, `{ENC}{"keyring":"jdbc-password"}`))
}

func TestParsePlaintext(t *testing.T) {
	var g ref.Grammar
	for _, value := range []string{
		"hunter2", "{x9!", "{", "}", "{}", `{"a":1}`, `{"key":"v"}`, `{"path":"x","key":"y"}`,
		`["region"]`, `"region"`,
		"region", "mount endpoint", `{"month":"may"}`, `{"user":"x","password":"y"}`, "p@ss:w=rd",
		"{ENCODED}", "ENC", "{EN}", "<b>",
		`"quoted": yes`, "https://example.com/?a=b", "https://user:pa@host", `\u007bx`, "a\x00b",
		"\xff\xfe", "secret{ENC", "{{x}}", "$ecret{1}", "mountain:1",
		"region:eu", `{"secret":"v"}`, `{"reason":"out-of-memory"}`, "x=y", "={x", "a={b:c}",
		"password=hunter2", "keyring=db", "&amp;{x", "%7Bx%7D", "a%zz", `\u007b"a":1}`,
		"eyJhIjoxfQ==", "eyJrZXkiOiJ2In0=", "c2VjcmV0LXNlY3JldC1zZWNyZXQ=",
		"deadbeefdeadbeefdeadbeefdeadbeef", "7b2261223a317d7b2261223a317d", "{\n \"a\":1}\n",
		"a\x00b\x00c",
		"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ\n-----END PRIVATE KEY-----\n", "p\u200bassword", "{ENC", "ENC}",
	} {
		_, err := g.Parse(value)
		require.Equal(t, fault.NotReference, err, "%q", value)
	}
}

func TestParseEmptyValue(t *testing.T) {
	var g ref.Grammar
	for _, value := range []string{"", " ", "\t\r\n", "\u00a0", "\ufeff", "\u200b\n", "\x00\x00"} {
		_, err := g.Parse(value)
		require.ErrorIs(t, err, fault.NotReference, "%q", value)
		require.ErrorContains(t, err, "is a variable not set?")
	}
}

// FuzzParse checks that the canonical text of a reference parses to it again, and
// that an error comes with the zero Reference.
func FuzzParse(f *testing.F) {
	for _, value := range []string{awsSample, vaultSample, "{ENC}" + awsSample, `<ENC><"keyring":"x">`,
		`{"keyring":"\u00e9\"\\\u0001"}`, "hunter2", "{x9!", `{"region":`,
		`{"mount":"a","path":"b","key":"c","endpoint":"http://[::1]:8200/","authenticationType":"KUBERNETES"}`, `{"vaultUri":"x"}`} {
		f.Add(value)
	}
	g := ref.Grammar{Customs: []ref.CustomBackend{{Class: "c", Fields: []string{"vaultUri"}}}}
	f.Fuzz(func(t *testing.T, value string) {
		r, err := g.Parse(value)
		if err != nil {
			require.Equal(t, ref.Reference{}, r)
			return
		}
		require.NoError(t, r.Validate())
		again, err := g.Parse(r.String())
		require.NoError(t, err, r.String())
		require.Equal(t, r, again)
		again, err = g.Parse(" <ENC>" + strings.TrimPrefix(r.String(), "{ENC}") + "\n")
		require.NoError(t, err)
		require.Equal(t, r, again)
	})
}
