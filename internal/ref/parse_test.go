package ref_test

import (
	"fmt"
	"slices"
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

func TestTheFormsOfOneReferenceAreEqual(t *testing.T) {
	want := ref.Reference{Kind: ref.AWS, Region: "ap-southeast-2", SecretID: "mySecretId", Pointer: "/password"}
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

func TestTheFieldsSelectTheBackend(t *testing.T) {
	require.Equal(t, ref.Reference{Kind: ref.AWS, Region: "us-gov-west-1", SecretID: "a b/é", EndpointOverride: "http://127.0.0.1:4566/"},
		parse(t, `{"region":"us-gov-west-1","secretId":"a b/é","endpointOverride":"http://127.0.0.1:4566/"}`))
	require.Equal(t, ref.Reference{Kind: ref.Vault, Mount: "secret", Path: "sample/secret", Key: "password",
		Endpoint: "https://vault.example.com", Auth: ref.TokenAuth}, parse(t, vaultSample))
	require.Equal(t, ref.Reference{Kind: ref.Vault, Mount: "team/kv", Path: "a", Key: "pass word/~", Endpoint: "https://[::1]:8200/base/", Auth: ref.KubernetesAuth},
		parse(t, `{"mount":"team/kv","path":"a","key":"pass word/~","endpoint":"https://[::1]:8200/base/","authenticationType":"KUBERNETES"}`))
	require.Equal(t, ref.Reference{Kind: ref.Keyring, Name: "jdbc-password"}, parse(t, `{ENC}{"keyring":"jdbc-password"}`))
}

func TestPlaintextIsNoReference(t *testing.T) {
	var g ref.Grammar
	for _, value := range []string{
		"hunter2", "{x9!", "{", "}", "{}", `{"a":1}`, `{"key":"v"}`, `{"path":"x","key":"y"}`, `["region"]`, `"region"`,
		"region", "mount endpoint", `{"month":"may"}`, `{"user":"x","password":"y"}`, "p@ss:w=rd", "{ENCODED}", "ENC", "{EN}", "<b>",
		`"quoted": yes`, "https://example.com/?a=b", "https://user:pa@host", `\u007bx`, "a\x00b", "\xff\xfe", "secret{ENC", "{{x}}", "$ecret{1}", "mountain:1",
		"region:eu", `{"secret":"v"}`, `{"reason":"out-of-memory"}`, "x=y", "={x", "a={b:c}", "password=hunter2", "keyring=db", "&amp;{x", "%7Bx%7D", "a%zz", `\u007b"a":1}`,
		"eyJhIjoxfQ==", "eyJrZXkiOiJ2In0=", "c2VjcmV0LXNlY3JldC1zZWNyZXQ=", "deadbeefdeadbeefdeadbeefdeadbeef", "7b2261223a317d7b2261223a317d", "{\n \"a\":1}\n", "a\x00b\x00c",
		"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ\n-----END PRIVATE KEY-----\n", "p\u200bassword", "{ENC", "ENC}",
	} {
		_, err := g.Parse(value)
		require.Equal(t, fault.NotReference, err, "%q", value)
	}
}

func TestAnEmptyValueIsNoReference(t *testing.T) {
	var g ref.Grammar
	for _, value := range []string{"", " ", "\t\r\n", "\u00a0", "\ufeff", "\u200b\n", "\x00\x00"} {
		_, err := g.Parse(value)
		require.ErrorIs(t, err, fault.NotReference, "%q", value)
		require.ErrorContains(t, err, "is a variable not set?")
	}
}

// The rows are mistakes that people make in a reference that they meant. None
// of them may end as a password, and what the message says must lead to the
// mend. %A and %V stand for the samples above.
func TestNoTypingErrorEndsAsAPassword(t *testing.T) {
	rows := []struct{ name, value, says string }{
		// Braces, brackets and quotes.
		{"closing brace lost", `{"region":"eu-west-1","secretId":"db"`, "cut short"},
		{"closing brace lost after a prefix", `{ENC}{"region":"eu-west-1","secretId":"db"`, "cut short"},
		{"opening brace lost", `"region":"eu-west-1","secretId":"db"}`, "brace"},
		{"opening brace lost after a prefix", `{ENC}"region":"eu-west-1","secretId":"db"}`, "brace lost"},
		{"both braces lost", `"region":"eu-west-1","secretId":"db"`, "brace"},
		{"both braces and all quotes lost", `region:eu-west-1,secretId:db`, "brace"},
		{"quotes lost", `{region:eu-west-1,secretId:db}`, "double quotes"},
		{"equals signs for colons", `{"region"="eu-west-1","secretId"="db"}`, "colon"},
		{"opening brace doubled", `{{"region":"eu-west-1","secretId":"db"}`, "doubled"},
		{"closing brace doubled", `{"region":"eu-west-1","secretId":"db"}}`, "after the coordinates"},
		{"both braces doubled", `{{"region":"eu-west-1","secretId":"db"}}`, "doubled"},
		{"square brackets", `["region":"eu-west-1","secretId":"db"]`, ""},
		{"parentheses", `("region":"eu-west-1","secretId":"db")`, ""},
		{"angle form without a prefix", `<"region":"eu-west-1","secretId":"db">`, "needs the prefix"},
		{"angle form closed with a brace", `<ENC><"region":"eu-west-1","secretId":"db"}`, "comma or '>'"},
		{"brace form closed with an angle", `{ENC}{"region":"eu-west-1","secretId":"db">`, "comma or '}'"},
		{"opening quote of a name lost", `{region":"eu-west-1","secretId":"db"}`, "double quotes"},
		{"closing quote of a name lost", `{"region:"eu-west-1","secretId":"db"}`, ""},
		{"opening quote of a value lost", `{"region":eu-west-1","secretId":"db"}`, ""},
		{"closing quote of a value lost", `{"region":"eu-west-1,"secretId":"db"}`, ""},
		{"last quote lost", `{"region":"eu-west-1","secretId":"db}`, ""},
		{"comma lost", `{"region":"eu-west-1" "secretId":"db"}`, "comma"},
		{"comma doubled", `{"region":"eu-west-1",,"secretId":"db"}`, "field name"},
		{"comma at the end", `{"region":"eu-west-1","secretId":"db",}`, "field name"},
		{"semicolon for a comma", `{"region":"eu-west-1";"secretId":"db"}`, "comma"},
		{"colon lost", `{"region" "eu-west-1","secretId":"db"}`, "colon"},
		{"single quotes", `{'region':'eu-west-1','secretId':'db'}`, "single ones"},
		{"smart quotes", `{“region”:“eu-west-1”,“secretId”:“db”}`, "typographic"},
		{"German quotes", `{„region“:„eu-west-1“,„secretId“:„db“}`, "typographic"},
		{"guillemets without a brace", `«region»: «eu-west-1», «secretId»: «db»`, ""},
		{"backquotes", "{`region`:`eu-west-1`,`secretId`:`db`}", "double quotes"},
		{"escaped quotes", `{\"region\":\"eu-west-1\",\"secretId\":\"db\"}`, "backslashes"},
		{"doubled quotes", `{""region"":""eu-west-1"",""secretId"":""db""}`, ""},
		{"the whole in quotes", `"{"region":"eu-west-1","secretId":"db"}"`, "remove them"},
		{"the whole in single quotes", `'{"region":"eu-west-1","secretId":"db"}'`, "remove them"},
		{"prefix and all in quotes", `"{ENC}{"region":"eu-west-1","secretId":"db"}"`, "remove them"},
		{"the whole key=value line", `jdbc.password={ENC}{"region":"eu-west-1","secretId":"db"}`, "before the prefix"},

		// Entities, escapes and invisible characters.
		{"HTML entities", `{&quot;region&quot;:&quot;eu-west-1&quot;,&quot;secretId&quot;:&quot;db&quot;}`, "HTML entities"},
		{"numeric entities", `{&#34;region&#34;:&#34;eu-west-1&#34;,&#34;secretId&#34;:&#34;db&#34;}`, "HTML entities"},
		{"the brace as an entity", `&#123;"region":"eu-west-1","secretId":"db"&#125;`, ""},
		{"entities after a prefix", `{ENC}{&quot;region&quot;:&quot;eu-west-1&quot;}`, "HTML entities"},
		{"URL encoded", `%7B%22region%22%3A%22eu-west-1%22%7D`, ""},
		{"a full-width brace", `｛"region":"eu-west-1","secretId":"db"｝`, ""},
		{"a byte order mark in front", "\ufeff" + awsSample, "invisible"},
		{"a zero width space before the prefix", "\u200b{ENC}whatever", "invisible"},
		{"a no-break space between members", "{\"region\":\"eu-west-1\",\u00a0\"secretId\":\"db\"}", "field name"},
		{"a comment", `{"region":"eu-west-1","secretId":"db"} // db`, "after the coordinates"},
		{"a second object", awsSample + awsSample, "after the coordinates"},

		// Letter case and spelling of fields.
		{"upper-case initial", `{"Region":"eu-west-1","SecretId":"db"}`, `did you mean "region"?`},
		{"the vendor's table", `{"region":"eu-west-1","secretID":"db"}`, `unknown field "secretID" (did you mean "secretId"?)`},
		{"all capitals", `{"REGION":"eu-west-1","SECRETID":"db"}`, `did you mean "region"?`},
		{"snake case", `{"region":"eu-west-1","secret_id":"db"}`, `did you mean "secretId"?`},
		{"kebab case", `{"region":"eu-west-1","secret-id":"db"}`, `did you mean "secretId"?`},
		{"letters swapped", `{"regoin":"eu-west-1","secretId":"db"}`, `did you mean "region"?`},
		{"a letter lost", `{"regin":"eu-west-1","scretId":"db"}`, `did you mean "region"?`},
		{"a letter doubled", `{"regionn":"eu-west-1","secretId":"db"}`, `did you mean "region"?`},
		{"a wrong letter, alone", `{"kayring":"db"}`, `did you mean "keyring"?`},
		{"space in a name", `{"region ":"eu-west-1","secretId":"db"}`, `did you mean "region"?`},
		{"the API's name", `{"region":"eu-west-1","SecretName":"db"}`, `did you mean "secretId"?`},
		{"pointer misspelt", `{"region":"eu-west-1","secretId":"db","secretpointer":"/a"}`, `did you mean "secretPointer"?`},
		{"mount misspelt", `{"mout":"secret","path":"p","key":"k","endpoint":"https://v"}`, `did you mean "mount"?`},
		{"endpoint misspelt", `{"mount":"secret","path":"p","key":"k","endpont":"https://v"}`, `did you mean "endpoint"?`},
		{"authentication type misspelt", `{"mount":"secret","path":"p","key":"k","endpoint":"https://v","authentificationType":"TOKEN"}`, `did you mean "authenticationType"?`},
		{"address for endpoint", `{"mount":"secret","path":"p","key":"k","address":"https://v"}`, `did you mean "endpoint"?`},

		// Fields missing, empty, mistyped, doubled, mixed.
		{"region missing", `{"secretId":"db"}`, `field "region" is missing`},
		{"secretId missing", `{"region":"eu-west-1"}`, `field "secretId" is missing`},
		{"only a pointer", `{"secretPointer":"/a"}`, "missing"},
		{"path missing", `{"mount":"secret","key":"k","endpoint":"https://v"}`, `field "path" is missing`},
		{"key missing", `{"mount":"secret","path":"p","endpoint":"https://v"}`, `field "key" is missing`},
		{"endpoint missing", `{"mount":"secret","path":"p","key":"k"}`, `field "endpoint" is missing`},
		{"region empty", `{"region":"","secretId":"db"}`, `field "region" is empty`},
		{"secretId blank", `{"region":"eu-west-1","secretId":"  "}`, "blank"},
		{"pointer empty", `{"region":"eu-west-1","secretId":"db","secretPointer":""}`, `field "secretPointer" is empty`},
		{"region null", `{"region":null,"secretId":"db"}`, "must be a string, not null"},
		{"secretId a number", `{"region":"eu-west-1","secretId":7}`, "not a number"},
		{"secretId an array", `{"region":"eu-west-1","secretId":["db"]}`, "not an array"},
		{"secretId an object", `{"region":"eu-west-1","secretId":{"a":1}}`, "not an object"},
		{"key a boolean", `{"mount":"secret","path":"p","key":true,"endpoint":"https://v"}`, "not a boolean"},
		{"region twice", `{"region":"eu-west-1","region":"eu-west-1","secretId":"db"}`, `field "region" appears twice`},
		{"region twice, once escaped", `{"region":"eu-west-1","\u0072egion":"eu-west-1","secretId":"db"}`, "twice"},
		{"backends mixed", `{"region":"eu-west-1","secretId":"db","mount":"secret"}`, "different backends"},
		{"keyring and AWS", `{"keyring":"x","region":"eu-west-1","secretId":"db"}`, "different backends"},
		{"Vault's key in AWS coordinates", `{"region":"eu-west-1","secretId":"db","key":"password"}`, "different backends"},
		{"an unknown field", `{"region":"eu-west-1","secretId":"db","versionStage":"AWSCURRENT"}`, `unknown field "versionStage"`},

		// Values of fields.
		{"pointer without its slash", `{"region":"eu-west-1","secretId":"db","secretPointer":"password"}`, `did you mean "/password"?`},
		{"pointer with a bad escape", `{"region":"eu-west-1","secretId":"db","secretPointer":"/a~2"}`, "RFC 6901"},
		{"region in capitals", `{"region":"EU-WEST-1","secretId":"db"}`, `did you mean "eu-west-1"?`},
		{"region with its name", `{"region":"Europe (Ireland)","secretId":"db"}`, "region ID"},
		{"region that leaves its place in the host name", `{"region":"x.evil.com/","secretId":"db"}`, "region ID"},
		{"endpoint without a scheme", `{"mount":"secret","path":"p","key":"k","endpoint":"vault:8200"}`, "http"},
		{"endpoint with user info", `{"mount":"secret","path":"p","key":"k","endpoint":"https://u:p@v"}`, "user info"},
		{"endpoint with a query", `{"mount":"secret","path":"p","key":"k","endpoint":"https://v?x=1"}`, "query"},
		{"endpoint with a fragment", `{"mount":"secret","path":"p","key":"k","endpoint":"https://v#"}`, "fragment"},
		{"endpoint with two slashes at its end", `{"mount":"secret","path":"p","key":"k","endpoint":"https://v//"}`, "segment"},
		{"endpoint of another scheme", `{"mount":"secret","path":"p","key":"k","endpoint":"ftp://vault.example"}`, "http"},
		{"endpoint without a host", `{"mount":"secret","path":"p","key":"k","endpoint":"https:///x"}`, "host"},
		{"mount with a slash at its end", `{"mount":"secret/","path":"p","key":"k","endpoint":"https://v"}`, "slash"},
		{"path with a slash in front", `{"mount":"secret","path":"/p","key":"k","endpoint":"https://v"}`, "slash"},
		{"path that climbs", `{"mount":"secret","path":"a/../b","key":"k","endpoint":"https://v"}`, "segment"},
		{"path with an empty segment", `{"mount":"secret","path":"a//b","key":"k","endpoint":"https://v"}`, "segment"},
		{"authentication type in small letters", `{"mount":"secret","path":"p","key":"k","endpoint":"https://v","authenticationType":"token"}`, `did you mean "TOKEN"?`},
		{"authentication type abbreviated", `{"mount":"secret","path":"p","key":"k","endpoint":"https://v","authenticationType":"K8S"}`, "TOKEN"},
		{"an unpaired surrogate", `{"region":"eu-west-1","secretId":"\ud83d"}`, "surrogate"},
		{"invalid UTF-8", "{\"region\":\"eu-west-1\",\"secretId\":\"\xff\"}", "UTF-8"},
		{"a raw newline in a value", "{\"region\":\"eu-west-1\",\"secretId\":\"d\nb\"}", "invalid character"},
		{"an escaped newline in a value", `{"region":"eu-west-1","secretId":"d\nb"}`, "control character"},

		// Prefixes.
		{"prefix alone", `{ENC}`, "nothing"},
		{"prefix before plaintext", `{ENC}hunter2`, "coordinates"},
		{"prefix before base64", `{ENC}c2VjcmV0`, "coordinates"},
		{"prefix before an empty object", `{ENC}{}`, "no fields"},
		{"prefix before unknown fields", `{ENC}{"foo":"bar"}`, `unknown field "foo"`},
		{"prefix before fields that do not tell", `{ENC}{"key":"v"}`, "alone is not enough"},
		{"prefix doubled", `{ENC}{ENC}` + awsSample, "twice"},
		{"prefix in small letters", `{enc}` + awsSample, "prefix is written"},
		{"prefix in small letters before anything", `{enc}hunter2`, "prefix is written"},
		{"prefix with other brackets", `[ENC]` + awsSample, "prefix is written"},
		{"prefix with mixed brackets", `{ENC>hunter2`, "prefix is written"},
		{"prefix without its brace", `ENC}` + awsSample, ""},
		{"prefix of another word", `{ENV}` + awsSample, ""},
		{"prefix with spaces", `{ ENC }` + awsSample, "prefix is written"},
		{"prefix with a doubled brace", `{{ENC}}` + awsSample, "prefix is written"},
		{"prefix with a dollar", `${ENC}` + awsSample, "before the prefix"},
	}
	require.Greater(t, len(rows), 60)
	var g ref.Grammar
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, err := g.Parse(row.value)
			require.ErrorIs(t, err, fault.Syntax)
			require.NotErrorIs(t, err, fault.NotReference)
			require.Contains(t, err.Error(), row.says)
		})
	}
}

func TestOtherToolsReferencesAreUnsupported(t *testing.T) {
	var g ref.Grammar
	for _, value := range []string{
		"{ATL_SECURED}", " {ATL_SECURED} ", "{ENC}{ATL_SECURED}", "{atl_secured}",
		"arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-a1b2c3", "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:db",
		"arn:aws:ssm:eu-west-1:123456789012:parameter/db", "ref+awssecrets://db#/password", "op://vault/item/password",
		"vault:secret/data/db#password", "awssm://db", "gcpsm://p/s", "{{resolve:secretsmanager:db}}", "ENC(abc==)",
	} {
		_, err := g.Parse(value)
		require.ErrorIs(t, err, fault.Unsupported, value)
	}
	_, err := g.Parse("{ATL_SECURED}")
	require.Contains(t, err.Error(), "internal store")
}

// Whatever stands where a reference is meant may be a password.
func TestMessagesNeverQuoteTheValue(t *testing.T) {
	const canary = "pa55!W0rd"
	var g ref.Grammar
	for _, value := range []string{
		"{ENC}" + canary, "{ENC}{" + canary, "{enc}" + canary, `{ENC}{"` + canary + `"}`, `{ENC}{"` + canary + `":1}`, `{ENC}{"region":"` + canary + `"`,
		`{ENC}{"region":"` + canary + `","secretId":"x"}`, `{"region":"x","secretId":` + canary + `}`, `{"region":"x","secretPointer":"` + canary + `","secretId":"x"}`,
		`{"mount":"` + canary + `/","path":"x"}`, `{"mount":"m","path":"p","key":"k","endpoint":"https://u:` + canary + `@h"}`,
		`{"mount":"m","path":"p","key":"k","endpoint":"` + canary + `"}`, `{"mount":"m","path":"p","key":"k","endpoint":"https://h:` + canary + `"}`,
		`{"mount":"m","path":"p","key":"k","endpoint":"https://h","authenticationType":"` + canary + `"}`, `"region":"` + canary + `"`, canary + `{"region":"x"}`,
		`<ENC><"` + canary + `":"x">`, `{ENC}` + strings.Repeat(canary, 10_000),
	} {
		_, err := g.Parse(value)
		require.Error(t, err)
		require.NotContains(t, err.Error(), canary, value)
	}
}

func TestHugeCoordinatesAreRefused(t *testing.T) {
	var g ref.Grammar
	_, err := g.Parse(`{ENC}{"region":"` + strings.Repeat("x", 100_000) + `"}`)
	require.ErrorIs(t, err, fault.Syntax)
	_, err = g.Parse(`{ENC}{` + strings.Repeat(`"a":1,`, 1000) + `"region":"x"}`)
	require.ErrorIs(t, err, fault.Syntax)
	_, err = g.Parse(`{ENC}{"region":` + strings.Repeat("[", 60_000))
	require.ErrorIs(t, err, fault.Syntax)
}

func TestCustomStoresAreKnownByTheirFields(t *testing.T) {
	g := ref.Grammar{Customs: []ref.CustomFields{
		{Class: "com.example.Azure", Fields: []string{"vaultUri", "secretName"}},
		{Class: "com.example.AzureVersioned", Fields: []string{"vaultUri", "secretName", "version"}},
		{Class: "com.example.SSM", Fields: []string{"ssmParameter", "region"}},
		{Class: "com.example.ByClassOnly"},
	}}
	r, err := g.Parse(`{ENC}{"vaultUri":"https://x", "secretName":"db", "other":1}`)
	require.NoError(t, err)
	require.Equal(t, ref.Reference{Kind: ref.Custom, Class: "com.example.Azure", Text: `{"vaultUri":"https://x", "secretName":"db", "other":1}`}, r)
	again, err := g.Parse(r.String())
	require.NoError(t, err)
	require.Equal(t, r, again)

	r, err = g.Parse(`<ENC><"vaultUri":"https://x","secretName":"db","version":"2">`)
	require.NoError(t, err)
	require.Equal(t, ref.Reference{Kind: ref.Custom, Class: "com.example.AzureVersioned", Text: `{"vaultUri":"https://x","secretName":"db","version":"2"}`}, r)

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

func TestReferencesOfOneSecretShareAGroup(t *testing.T) {
	a, b := parse(t, `{"region":"x","secretId":"s","secretPointer":"/a"}`), parse(t, `{"region":"x","secretId":"s","secretPointer":"/b"}`)
	require.Equal(t, a.Target(), b.Target())
	require.NotEqual(t, a.Target(), parse(t, `{"region":"y","secretId":"s"}`).Target())

	v := parse(t, vaultSample)
	slash := parse(t, strings.Replace(strings.Replace(vaultSample, ".com", ".com/", 1), `"key":"password"`, `"key":"user"`, 1))
	require.Equal(t, v.Target(), slash.Target(), "one trailing slash is the same endpoint")
	kubernetes := parse(t, strings.Replace(vaultSample, "}", `,"authenticationType":"KUBERNETES"}`, 1))
	require.NotEqual(t, v.Target(), kubernetes.Target())
	require.Equal(t, `{ENC}{"mount":"secret","path":"sample/secret","endpoint":"https://vault.example.com"}`, v.Target().Reference())
}

func TestFindLocatesReferencesInText(t *testing.T) {
	text := "a{b}\n{ENC}" + awsSample + "}<ENC><\"keyring\":\"x>\">z"
	var found []string
	for {
		start, end, ok, err := ref.Find(text)
		require.NoError(t, err)
		if !ok {
			break
		}
		found = append(found, text[start:end])
		text = text[end:]
	}
	require.Equal(t, []string{"{ENC}" + awsSample, `<ENC><"keyring":"x>">`}, found)
	require.Equal(t, "z", text)

	for _, text := range []string{"{ENC}", "{ENC}x", "a {enc}{}", "{ENC}{", `{ENC}{"region":"`, "{ENC}{ATL_SECURED}", `{ENC}{"a" 1}`} {
		_, _, ok, err := ref.Find(text)
		require.True(t, ok, text)
		require.Error(t, err, text)
	}
}

// The law: the canonical text of every reference parses to it again, and every
// value is a reference, plaintext, or an error of a known kind.
func FuzzParse(f *testing.F) {
	for _, value := range []string{awsSample, vaultSample, "{ENC}" + awsSample, `<ENC><"keyring":"x">`, `{"keyring":"\u00e9\"\\\u0001"}`, "hunter2", "{x9!", `{"region":`,
		`{"mount":"a","path":"b","key":"c","endpoint":"http://[::1]:8200/","authenticationType":"KUBERNETES"}`, `{"vaultUri":"x"}`} {
		f.Add(value)
	}
	g := ref.Grammar{Customs: []ref.CustomFields{{Class: "c", Fields: []string{"vaultUri"}}}}
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

// Every edit of one character in the shortest reference there is, so that no
// second telling name helps to recognise it.
func TestNoSingleEditOfAReferenceIsPlaintext(t *testing.T) {
	var edits []string
	for c := rune(1); c < 0x180; c++ {
		edits = append(edits, string(c))
	}
	edits = append(edits, "", "\u0261", "\u0430", "\u0435", "\u043e", "\u200b", "\u2060", "\ufeff", "“", "”", "’", "«", "：", "｛", "\xff")
	var g ref.Grammar
	for _, whole := range []string{`{"keyring":"db"}`, `{ENC}{"keyring":"db"}`, `<ENC><"keyring":"db">`} {
		runes := []rune(whole)
		for i := range len(runes) + 1 {
			for _, edit := range edits {
				mutants := []string{string(runes[:i]) + edit + string(runes[i:])}
				if i < len(runes) {
					mutants = append(mutants, string(runes[:i])+edit+string(runes[i+1:]))
				}
				for _, mutant := range mutants {
					_, err := g.Parse(mutant)
					require.False(t, err == fault.NotReference, "%q is plaintext", mutant)
				}
			}
		}
	}
	for _, value := range []string{`{"secret id":"db"}`, `{"secret.id":"db","secret.pointer":"/p"}`, `{"keyri\u006eg":"db"`, `{"KEY RING":"x"}`} {
		_, err := g.Parse(value)
		require.ErrorIs(t, err, fault.Syntax, value)
	}
}

func TestMisspeltFieldsOfCustomStoresAreNotPlaintext(t *testing.T) {
	g := ref.Grammar{Customs: []ref.CustomFields{{Class: "a", Fields: []string{"vault.uri"}}, {Class: "b", Fields: []string{"Vault Name"}}}}
	for _, value := range []string{`{"Vault.Uri":"x"}`, `{"vault name":"x"}`, `{"vault.url":"x"}`, `{"Vault Nam":"x"}`} {
		_, err := g.Parse(value)
		require.ErrorIs(t, err, fault.Syntax, value)
	}
}

// Each field of each backend: missing, empty, of another type, misspelt, and
// with the value of a hand-made reference checked as strictly.
func TestEveryFieldIsChecked(t *testing.T) {
	backends := []map[string]string{
		{"region": "eu-west-1", "secretId": "db", "secretPointer": "/p", "endpointOverride": "https://x"},
		{"mount": "secret", "path": "p", "key": "k", "endpoint": "https://v", "authenticationType": "TOKEN"},
		{"keyring": "db"},
	}
	optional := []string{"secretPointer", "endpointOverride", "authenticationType"}
	var g ref.Grammar
	for _, fields := range backends {
		render := func(name, as, text string) string {
			var members []string
			for n, v := range fields {
				if n != name {
					members = append(members, fmt.Sprintf("%q:%q", n, v))
				} else if as != "" {
					members = append(members, fmt.Sprintf("%q:%s", as, text))
				}
			}
			return "{ENC}{" + strings.Join(members, ",") + "}"
		}
		for name, value := range fields {
			_, err := g.Parse(render(name, name, fmt.Sprintf("%q", value)))
			require.NoError(t, err)
			_, err = g.Parse(render(name, "", ""))
			require.Equal(t, slices.Contains(optional, name), err == nil, "%s missing", name)
			for _, text := range []string{`""`, "1", "-0.5e3", "true", "false", "null", "[]", `["x"]`, "{}", `{"a":"b"}`} {
				_, err = g.Parse(render(name, name, text))
				require.ErrorIs(t, err, fault.Syntax, "%s: %s", name, text)
				require.Contains(t, err.Error(), fmt.Sprintf("%q", name))
			}
			for _, misspelt := range []string{strings.ToUpper(name), name + "x", name[1:], name[:1] + "_" + name[1:], " " + name} {
				_, err = g.Parse(render(name, misspelt, fmt.Sprintf("%q", value)))
				require.ErrorIs(t, err, fault.Syntax, misspelt)
			}
		}
	}
}

func TestFindRefusesMisspeltPrefixes(t *testing.T) {
	for _, prefix := range []string{"{enc}", "[ENC]", "{ ENC }", "{ENC", "ENC}", "(ENC)", "{ENV}", `\{ENC\}`, "{ENC>", "&lt;ENC>"} {
		_, _, ok, err := ref.Find("x://" + prefix + awsSample + "@host")
		require.True(t, ok, prefix)
		require.ErrorIs(t, err, fault.Syntax, prefix)
	}
	for _, text := range []string{"the ENC prefix", "{a}{b}", "x(end){y}", "{EN}", `{"enc":{"a":1}}`, "", "fence}", "ENCODED{\"a\"}"} {
		_, _, ok, err := ref.Find(text)
		require.False(t, ok, text)
		require.NoError(t, err)
	}
}

func TestAUnixSocketIsAnEndpointOfVault(t *testing.T) {
	value := func(endpoint string) string {
		return `{"mount":"secret","path":"p","key":"k","endpoint":"` + endpoint + `"}`
	}
	reference, err := new(ref.Grammar).Parse("{ENC}" + value("unix:///run/vault.sock"))
	require.NoError(t, err)
	require.Equal(t, "unix:///run/vault.sock", reference.Endpoint)
	again, err := new(ref.Grammar).Parse(reference.String())
	require.NoError(t, err)
	require.Equal(t, reference, again)
	for _, endpoint := range []string{
		"unix://run/vault.sock", "unix://", "unix:///", "unix:/run/vault.sock", "unix:run", "unix:///run/../x", "unix:///run//x", "unix:///run/x/",
		"unix:///run/x?q", "unix:///run/x#f", "unix:///run/%78", "unix:///run/a b", "UNIX:///run/x", "unix://user@/run/x", "unix:///./x",
	} {
		_, err := new(ref.Grammar).Parse("{ENC}" + value(endpoint))
		require.ErrorIs(t, err, fault.Syntax, endpoint)
	}
	_, err = new(ref.Grammar).Parse(`{ENC}{"region":"eu-west-1","secretId":"x","endpointOverride":"unix:///run/x"}`)
	require.ErrorIs(t, err, fault.Syntax)
}
