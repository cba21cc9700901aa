package ref_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// The rows are common mistakes in references. None may be taken for a password,
// and the message must lead to the fix. %A and %V stand for the samples above.
func TestParseMistakes(t *testing.T) {
	rows := []struct{ name, value, says string }{
		// Braces, brackets and quotes.
		{"closing brace missing", `{"region":"eu-west-1","secretId":"db"`, "cut short"},
		{"closing brace missing after a prefix", `{ENC}{"region":"eu-west-1","secretId":"db"`,
			"cut short"},
		{"opening brace missing", `"region":"eu-west-1","secretId":"db"}`, "brace"},
		{"opening brace lost after a prefix", `{ENC}"region":"eu-west-1","secretId":"db"}`,
			"brace missing"},
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
		{"brace form closed with an angle", `{ENC}{"region":"eu-west-1","secretId":"db">`,
			"comma or '}'"},
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
		{"the whole key=value line", `jdbc.password={ENC}{"region":"eu-west-1","secretId":"db"}`,
			"before the prefix"},

		// Entities, escapes and invisible characters.
		{"HTML entities",
			`{&quot;region&quot;:&quot;eu-west-1&quot;,&quot;secretId&quot;:&quot;db&quot;}`,
			"HTML entities"},
		{"numeric entities", `{&#34;region&#34;:&#34;eu-west-1&#34;,&#34;secretId&#34;:&#34;db&#34;}`,
			"HTML entities"},
		{"the brace as an entity", `&#123;"region":"eu-west-1","secretId":"db"&#125;`, ""},
		{"entities after a prefix", `{ENC}{&quot;region&quot;:&quot;eu-west-1&quot;}`, "HTML entities"},
		{"URL encoded", `%7B%22region%22%3A%22eu-west-1%22%7D`, ""},
		{"a full-width brace", `｛"region":"eu-west-1","secretId":"db"｝`, ""},
		{"a byte order mark in front", "\ufeff" + awsSample, "invisible"},
		{"a zero width space before the prefix", "\u200b{ENC}whatever", "invisible"},
		{"a no-break space between members", "{\"region\":\"eu-west-1\",\u00a0\"secretId\":\"db\"}",
			"field name"},
		{"a comment", `{"region":"eu-west-1","secretId":"db"} // db`, "after the coordinates"},
		{"a second object", awsSample + awsSample, "after the coordinates"},

		// Letter case and spelling of fields.
		{"upper-case initial", `{"Region":"eu-west-1","SecretId":"db"}`, `did you mean "region"?`},
		{"the vendor's table", `{"region":"eu-west-1","secretID":"db"}`,
			`unknown field "secretID" (did you mean "secretId"?)`},
		{"all capitals", `{"REGION":"eu-west-1","SECRETID":"db"}`, `did you mean "region"?`},
		{"snake case", `{"region":"eu-west-1","secret_id":"db"}`, `did you mean "secretId"?`},
		{"kebab case", `{"region":"eu-west-1","secret-id":"db"}`, `did you mean "secretId"?`},
		{"letters swapped", `{"regoin":"eu-west-1","secretId":"db"}`, `did you mean "region"?`},
		{"a letter lost", `{"regin":"eu-west-1","scretId":"db"}`, `did you mean "region"?`},
		{"a letter doubled", `{"regionn":"eu-west-1","secretId":"db"}`, `did you mean "region"?`},
		{"a wrong letter, alone", `{"kayring":"db"}`, `did you mean "keyring"?`},
		{"space in a name", `{"region ":"eu-west-1","secretId":"db"}`, `did you mean "region"?`},
		{"the API's name", `{"region":"eu-west-1","SecretName":"db"}`, `did you mean "secretId"?`},
		{"pointer misspelled", `{"region":"eu-west-1","secretId":"db","secretpointer":"/a"}`,
			`did you mean "secretPointer"?`},
		{"mount misspelled", `{"mout":"secret","path":"p","key":"k","endpoint":"https://v"}`,
			`did you mean "mount"?`},
		{"endpoint misspelled", `{"mount":"secret","path":"p","key":"k","endpont":"https://v"}`,
			`did you mean "endpoint"?`},
		{"authentication type misspelled",
			`{"mount":"secret","path":"p","key":"k","endpoint":"https://v","authentificationType":"TOKEN"}`,
			`did you mean "authenticationType"?`},
		{"address for endpoint", `{"mount":"secret","path":"p","key":"k","address":"https://v"}`,
			`did you mean "endpoint"?`},

		// Fields missing, empty, mistyped, doubled, mixed.
		{"region missing", `{"secretId":"db"}`, `field "region" is missing`},
		{"secretId missing", `{"region":"eu-west-1"}`, `field "secretId" is missing`},
		{"only a pointer", `{"secretPointer":"/a"}`, "missing"},
		{"path missing", `{"mount":"secret","key":"k","endpoint":"https://v"}`,
			`field "path" is missing`},
		{"key missing", `{"mount":"secret","path":"p","endpoint":"https://v"}`, `field "key" is missing`},
		{"endpoint missing", `{"mount":"secret","path":"p","key":"k"}`, `field "endpoint" is missing`},
		{"region empty", `{"region":"","secretId":"db"}`, `field "region" is empty`},
		{"secretId blank", `{"region":"eu-west-1","secretId":"  "}`, "blank"},
		{"pointer empty", `{"region":"eu-west-1","secretId":"db","secretPointer":""}`,
			`field "secretPointer" is empty`},
		{"region null", `{"region":null,"secretId":"db"}`, "must be a string, not null"},
		{"secretId a number", `{"region":"eu-west-1","secretId":7}`, "not a number"},
		{"secretId an array", `{"region":"eu-west-1","secretId":["db"]}`, "not an array"},
		{"secretId an object", `{"region":"eu-west-1","secretId":{"a":1}}`, "not an object"},
		{"key a boolean", `{"mount":"secret","path":"p","key":true,"endpoint":"https://v"}`,
			"not a boolean"},
		{"region twice", `{"region":"eu-west-1","region":"eu-west-1","secretId":"db"}`,
			`field "region" appears twice`},
		{"region twice, once escaped", `{"region":"eu-west-1","\u0072egion":"eu-west-1","secretId":"db"}`,
			"twice"},
		{"backends mixed", `{"region":"eu-west-1","secretId":"db","mount":"secret"}`,
			"different backends"},
		{"keyring and AWS", `{"keyring":"x","region":"eu-west-1","secretId":"db"}`, "different backends"},
		{"Vault's key in AWS coordinates", `{"region":"eu-west-1","secretId":"db","key":"password"}`,
			"different backends"},
		{"an unknown field", `{"region":"eu-west-1","secretId":"db","versionStage":"AWSCURRENT"}`,
			`unknown field "versionStage"`},

		// Values of fields.
		{"pointer without its slash", `{"region":"eu-west-1","secretId":"db","secretPointer":"password"}`,
			`did you mean "/password"?`},
		{"pointer with a bad escape", `{"region":"eu-west-1","secretId":"db","secretPointer":"/a~2"}`,
			"RFC 6901"},
		{"region in capitals", `{"region":"EU-WEST-1","secretId":"db"}`, `did you mean "eu-west-1"?`},
		{"region with its name", `{"region":"Europe (Ireland)","secretId":"db"}`, "region ID"},
		{"region that leaves its place in the host name", `{"region":"x.evil.com/","secretId":"db"}`,
			"region ID"},
		{"endpoint without a scheme", `{"mount":"secret","path":"p","key":"k","endpoint":"vault:8200"}`,
			"http"},
		{"endpoint with user info", `{"mount":"secret","path":"p","key":"k","endpoint":"https://u:p@v"}`,
			"user info"},
		{"endpoint with a query", `{"mount":"secret","path":"p","key":"k","endpoint":"https://v?x=1"}`,
			"query"},
		{"endpoint with a fragment", `{"mount":"secret","path":"p","key":"k","endpoint":"https://v#"}`,
			"fragment"},
		{"endpoint with two slashes at its end",
			`{"mount":"secret","path":"p","key":"k","endpoint":"https://v//"}`, "segment"},
		{"endpoint of another scheme",
			`{"mount":"secret","path":"p","key":"k","endpoint":"ftp://vault.example"}`, "http"},
		{"endpoint without a host", `{"mount":"secret","path":"p","key":"k","endpoint":"https:///x"}`,
			"host"},
		{"mount with a slash at its end",
			`{"mount":"secret/","path":"p","key":"k","endpoint":"https://v"}`, "slash"},
		{"path with a slash in front", `{"mount":"secret","path":"/p","key":"k","endpoint":"https://v"}`,
			"slash"},
		{"path that climbs", `{"mount":"secret","path":"a/../b","key":"k","endpoint":"https://v"}`,
			"segment"},
		{"path with an empty segment",
			`{"mount":"secret","path":"a//b","key":"k","endpoint":"https://v"}`, "segment"},
		{"authentication type in small letters",
			`{"mount":"secret","path":"p","key":"k","endpoint":"https://v","authenticationType":"token"}`,
			`did you mean "TOKEN"?`},
		{"authentication type abbreviated",
			`{"mount":"secret","path":"p","key":"k","endpoint":"https://v","authenticationType":"K8S"}`,
			"TOKEN"},
		{"an unpaired surrogate", `{"region":"eu-west-1","secretId":"\ud83d"}`, "surrogate"},
		{"invalid UTF-8", "{\"region\":\"eu-west-1\",\"secretId\":\"\xff\"}", "UTF-8"},
		{"a raw newline in a value", "{\"region\":\"eu-west-1\",\"secretId\":\"d\nb\"}",
			"invalid character"},
		{"an escaped newline in a value", `{"region":"eu-west-1","secretId":"d\nb"}`,
			"control character"},

		// Prefixes.
		{"prefix alone", `{ENC}`, "it is empty"},
		{"prefix before plaintext", `{ENC}hunter2`, "coordinates"},
		{"prefix before base64", `{ENC}c2VjcmV0`, "coordinates"},
		{"prefix before an empty object", `{ENC}{}`, "no fields"},
		{"prefix before unknown fields", `{ENC}{"foo":"bar"}`, `unknown field "foo"`},
		{"prefix before fields that do not tell", `{ENC}{"key":"v"}`, "alone is not enough"},
		{"prefix doubled", `{ENC}{ENC}` + awsSample, "doubled"},
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

// TestParseSingleEdits makes every edit of one character in the shortest
// reference, which has no second distinctive name to recognize it by.
func TestParseSingleEdits(t *testing.T) {
	var edits []string
	for c := rune(1); c < 0x180; c++ {
		edits = append(edits, string(c))
	}
	edits = append(edits, "", "\u0261", "\u0430", "\u0435", "\u043e", "\u200b", "\u2060", "\ufeff",
		"“", "”", "’", "«", "：", "｛", "\xff")
	var g ref.Grammar
	for _, whole := range []string{`{"keyring":"db"}`, `{ENC}{"keyring":"db"}`,
		`<ENC><"keyring":"db">`} {
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
	for _, value := range []string{`{"secret id":"db"}`, `{"secret.id":"db","secret.pointer":"/p"}`,
		`{"keyri\u006eg":"db"`, `{"KEY RING":"x"}`} {
		_, err := g.Parse(value)
		require.ErrorIs(t, err, fault.Syntax, value)
	}
}

// Any part of a broken reference may be a password.
func TestParseErrorsHideValue(t *testing.T) {
	const canary = "pa55!W0rd"
	var g ref.Grammar
	for _, value := range []string{
		"{ENC}" + canary, "{ENC}{" + canary, "{enc}" + canary, `{ENC}{"` + canary + `"}`,
		`{ENC}{"` + canary + `":1}`, `{ENC}{"region":"` + canary + `"`,
		`{ENC}{"region":"` + canary + `","secretId":"x"}`, `{"region":"x","secretId":` + canary + `}`,
		`{"region":"x","secretPointer":"` + canary + `","secretId":"x"}`,
		`{"mount":"` + canary + `/","path":"x"}`,
		`{"mount":"m","path":"p","key":"k","endpoint":"https://u:` + canary + `@h"}`,
		`{"mount":"m","path":"p","key":"k","endpoint":"` + canary + `"}`,
		`{"mount":"m","path":"p","key":"k","endpoint":"https://h:` + canary + `"}`,
		`{"mount":"m","path":"p","key":"k","endpoint":"https://h","authenticationType":"` + canary + `"}`,
		`"region":"` + canary + `"`, canary + `{"region":"x"}`,
		`<ENC><"` + canary + `":"x">`, `{ENC}` + strings.Repeat(canary, 10_000),
	} {
		_, err := g.Parse(value)
		require.Error(t, err)
		require.NotContains(t, err.Error(), canary, value)
	}
}

func TestParseOtherTools(t *testing.T) {
	var g ref.Grammar
	for _, value := range []string{
		"{ATL_SECURED}", " {ATL_SECURED} ", "{ENC}{ATL_SECURED}", "{atl_secured}",
		"arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-a1b2c3",
		"arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:db",
		"arn:aws:ssm:eu-west-1:123456789012:parameter/db", "ref+awssecrets://db#/password",
		"op://vault/item/password",
		"vault:secret/data/db#password", "awssm://db", "gcpsm://p/s", "{{resolve:secretsmanager:db}}",
		"ENC(abc==)",
	} {
		_, err := g.Parse(value)
		require.ErrorIs(t, err, fault.Unsupported, value)
	}
	_, err := g.Parse("{ATL_SECURED}")
	require.Contains(t, err.Error(), "internal store")
}
