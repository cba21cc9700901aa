package ref_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// units returns text in UTF-16.
func units(text string, order binary.AppendByteOrder) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, u)
	}
	return string(b)
}

// wrap breaks text into lines.
func wrap(text string, width int, end string) string {
	var b strings.Builder
	for len(text) > width {
		b.WriteString(text[:width] + end)
		text = text[width:]
	}
	return b.String() + text
}

// escaped returns text in escapes of four digits.
func escaped(text string) string {
	var b strings.Builder
	for _, c := range text {
		fmt.Fprintf(&b, `\u%04x`, c)
	}
	return b.String()
}

func TestParseEncoded(t *testing.T) {
	encode := func(e *base64.Encoding, text string) string { return e.EncodeToString([]byte(text)) }
	for name, row := range map[string]struct {
		encode func(string) string
		says   string
	}{
		"UTF-16, little-endian": {func(s string) string {
			return units(s,
				binary.LittleEndian)
		}, "UTF-16"},
		"UTF-16, big-endian": {func(s string) string { return units(s, binary.BigEndian) },
			"UTF-16"},
		"UTF-16 with a mark": {func(s string) string {
			return "\xff\xfe" +
				units(s, binary.LittleEndian)
		}, "UTF-16"},
		"UTF-16, big-endian, with a mark": {func(s string) string {
			return "\xfe\xff" +
				units(s, binary.BigEndian)
		}, "UTF-16"},
		"PowerShell's >": {func(s string) string {
			return "\xff\xfe" +
				units(s+"\r\n", binary.LittleEndian)
		}, "UTF-16"},
		"UTF-16, big-endian, with a line": {func(s string) string {
			return units(s+"\r\n",
				binary.BigEndian)
		}, "UTF-16"},
		"UTF-16 read as ISO-8859-1": {func(s string) string {
			return "ÿþ" +
				units(s, binary.LittleEndian)
		}, "UTF-16"},
		"UTF-16 read as UTF-8": {func(s string) string {
			return "\ufffd\ufffd" +
				units(s, binary.LittleEndian)
		}, "UTF-16"},
		"UTF-32": {func(s string) string {
			return "\xff\xfe\x00\x00" + units(units(s, binary.LittleEndian), binary.LittleEndian)
		}, "UTF-16"},

		"Base64": {func(s string) string { return encode(base64.StdEncoding, s) },
			"Base64"},
		"Base64 for URLs": {func(s string) string { return encode(base64.URLEncoding, s) },
			"Base64"},
		"Base64 without padding": {func(s string) string { return encode(base64.RawStdEncoding, s) },
			"Base64"},
		"Base64 for URLs, unpadded": {func(s string) string { return encode(base64.RawURLEncoding, s) },
			"Base64"},
		"Base64 in lines": {func(s string) string {
			return wrap(encode(base64.StdEncoding, s),
				8, "\n")
		}, ""},
		"Base64 in lines of CRLF": {func(s string) string {
			return wrap(encode(base64.StdEncoding, s),
				8, "\r\n") + "\r\n"
		}, ""},
		"Base64 in indented lines": {func(s string) string {
			return wrap(encode(base64.StdEncoding, s),
				8, "\n  ")
		}, ""},
		"Base64, quoted": {func(s string) string {
			return `"` + encode(base64.StdEncoding, s) +
				`"`
		}, "Base64"},
		"Base64 with its name": {func(s string) string {
			return "base64:" +
				encode(base64.StdEncoding, s)
		}, "Base64"},
		"Base64 of a line": {func(s string) string { return encode(base64.StdEncoding, s+"\n") },
			"Base64"},
		"Base64 of UTF-16": {func(s string) string {
			return encode(base64.StdEncoding,
				units(s, binary.LittleEndian))
		}, "Base64"},
		"Base64 of a marked text": {func(s string) string {
			return encode(base64.StdEncoding,
				"\ufeff"+s)
		}, "Base64"},
		"Base64 in UTF-16": {func(s string) string {
			return units(encode(base64.StdEncoding, s),
				binary.LittleEndian)
		}, "UTF-16"},
		"Base64 twice": {func(s string) string {
			return encode(base64.StdEncoding,
				encode(base64.StdEncoding, s))
		}, "Base64"},
		"Base64, URL encoded": {func(s string) string {
			return url.QueryEscape(encode(base64.StdEncoding,
				s) + "=")
		}, ""},
		"hexadecimal": {func(s string) string { return hex.EncodeToString([]byte(s)) },
			"hexadecimal"},
		"hexadecimal of a database": {func(s string) string {
			return `\x` +
				hex.EncodeToString([]byte(s))
		}, ""},
		"a dump": {func(s string) string { return fmt.Sprintf("% X", s) },
			"hexadecimal"},

		"URL encoded":            {url.QueryEscape, ""},
		"URL encoded, as a path": {url.PathEscape, ""},
		"URL encoded in small":   {func(s string) string { return strings.ToLower(url.QueryEscape(s)) }, ""},
		"every character encoded": {func(s string) string {
			return "%" +
				strings.ReplaceAll(fmt.Sprintf("% x", s), " ", "%")
		}, "URL-encoded"},
		"HTML": {html.EscapeString, ""},
		"HTML, numeric": {func(s string) string {
			return strings.NewReplacer(`"`, "&#x22;", "{", "&#x7B;", "}", "&#125;").Replace(s)
		}, ""},
		"HTML, with names": {func(s string) string {
			return strings.NewReplacer(`"`, "&quot;", "{", "&lbrace;", ":", "&colon;").Replace(s)
		}, ""},
		"escaped quotes": {func(s string) string {
			return strings.ReplaceAll(s, `"`,
				`\"`)
		}, ""},
		"a JSON string": {func(s string) string { return fmt.Sprintf("%q", s) }, ""},
		"a JSON string in another": {func(s string) string {
			return fmt.Sprintf("%q",
				fmt.Sprintf("%q", s))
		}, ""},
		"Java escapes": {escaped, "escaped"},
		"escapes of bytes": {func(s string) string {
			return `\x` +
				strings.ReplaceAll(fmt.Sprintf("% x", s), " ", `\x`)
		}, "escaped"},
		"single quotes around":      {func(s string) string { return "'" + s + "'" }, ""},
		"double quotes around":      {func(s string) string { return `"` + s + `"` }, ""},
		"typographic quotes around": {func(s string) string { return "“" + s + "”" }, ""},
		"backquotes around":         {func(s string) string { return "`" + s + "`" }, ""},
		"a byte order mark":         {func(s string) string { return "\ufeff" + s }, ""},
		"an equals sign in front":   {func(s string) string { return "=" + s }, ""},
		"a colon in front":          {func(s string) string { return ": " + s }, ""},
		"a variable":                {func(s string) string { return "DB_PASSWORD=" + s }, ""},
		"a variable, exported": {func(s string) string {
			return "export DB_PASSWORD='" + s +
				"'"
		}, ""},
		"a property":     {func(s string) string { return "jdbc.password = " + s }, ""},
		"a line of YAML": {func(s string) string { return "password: " + s }, ""},
		"an element": {func(s string) string {
			return "<password>" + s +
				"</password>"
		}, ""},
		"a tag of YAML":            {func(s string) string { return "!ref " + s }, ""},
		"a comment before it":      {func(s string) string { return "# the database\n" + s }, ""},
		"a list":                   {func(s string) string { return "[" + s + "]" }, ""},
		"a call":                   {func(s string) string { return "secret(" + s + ")" }, ""},
		"a JSON member":            {func(s string) string { return `"password": ` + s }, ""},
		"lines":                    {func(s string) string { return wrap(s, 7, "\r\n") }, ""},
		"lines with continuations": {func(s string) string { return wrap(s, 7, "\\\n  ") }, ""},
		"quoted-printable":         {func(s string) string { return wrap(s, 7, "=\r\n") }, ""},
		"invisible characters":     {func(s string) string { return wrap(s, 2, "\u200b") }, ""},
		"octal escapes": {func(s string) string {
			var b strings.Builder
			for i := range len(s) {
				fmt.Fprintf(&b, `\%03o`, s[i])
			}
			return b.String()
		}, "escaped"},
		"escapes in braces": {func(s string) string {
			var b strings.Builder
			for _, c := range s {
				fmt.Fprintf(&b, `\u{%x}`, c)
			}
			return b.String()
		}, ""},
		"every character quoted-printable": {func(s string) string {
			return "=" +
				strings.ReplaceAll(fmt.Sprintf("% X", s), " ", "=")
		}, ""},
		"wide letters": {func(s string) string {
			return strings.Map(func(c rune) rune { return c + '！' - '!' }, strings.ReplaceAll(s, " ", ""))
		}, ""},
		"a data URL": {func(s string) string {
			return "data:application/json;base64," +
				encode(base64.StdEncoding, s)
		}, "Base64"},
		"a binary value of YAML": {func(s string) string {
			return "!!binary " +
				encode(base64.StdEncoding, s)
		}, "Base64"},
		"soft hyphens": {func(s string) string { return wrap(s, 3, "\u00ad") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, plain := range []string{awsSample, vaultSample, `{"keyring":"db"}`, "{ENC}" + awsSample,
				`<ENC><"keyring":"db">`, `{ENC}{"keyring":"db"}`,
				`{"kayring":"db"}`, `{"region":"eu-west-1","secretID":"db"}`, `{keyring: db}`, "{ENC}hunter2"} {
				var g ref.Grammar
				value := row.encode(plain)
				r, err := g.Parse(value)
				if err == nil && strings.HasPrefix(name, "HTML") && !strings.ContainsAny(plain, `"<`) {
					continue
				}
				require.ErrorIs(t, err, fault.Syntax, "%q %v", value, r)
				require.ErrorContains(t, err, row.says, "%q", value)
				require.NotContains(t, err.Error(), "hunter2")
			}
		})
	}
}

// TestParseEncodedOtherTools encodes other values that are not passwords either.
func TestParseEncodedOtherTools(t *testing.T) {
	const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf"
	var g ref.Grammar
	for _, form := range []string{"%s", " %s\n", "\ufeff%s", `"%s"`, "'%s'", "`%s`",
		"export DB_PASSWORD=%s", "password: %s", "<password>%s</password>", "!secret %s", "[%s]",
		"{%s}"} {
		for _, plain := range []string{arn, ref.Placeholder} {
			_, err := g.Parse(fmt.Sprintf(form, plain))
			require.ErrorIs(t, err, fault.Unsupported, form+plain)
		}
	}
	for _, value := range []string{"{ATL_SECURED", "ATL_SECURED}", "ATL_SECURED", "{{atl_secured}}",
		"${ATL_SECURED}", `"{ATL_SECURED}";`} {
		_, err := g.Parse(value)
		require.ErrorIs(t, err, fault.Unsupported, value)
	}
	for _, plain := range []string{arn, ref.Placeholder, "op://vault/item/field"} {
		for _, value := range []string{
			base64.StdEncoding.EncodeToString([]byte(plain)), units(plain, binary.LittleEndian),
			hex.EncodeToString([]byte(plain)), url.QueryEscape(plain), escaped(plain),
		} {
			_, err := g.Parse(value)
			require.ErrorIs(t, err, fault.Syntax, value)
		}
	}
}

// TestParseKeyringWithoutBraces has a YAML mapping as programs print it, and one
// line of it.
func TestParseKeyringWithoutBraces(t *testing.T) {
	var g ref.Grammar
	for _, value := range []string{"map[keyring:db]", "map[Keyring:db]", "map[a:1 b:map[keyring:db]]",
		"keyring: db", "keyring:db", "Keyring : db", "map[region:eu-west-1 secretId:db]"} {
		_, err := g.Parse(value)
		require.ErrorIs(t, err, fault.Syntax, value)
	}
	for _, password := range []string{"map[a:1]", "mykeyring: x", "keyring", "keyring db",
		"heatmap[keys]"} {
		_, err := g.Parse(password)
		require.ErrorIs(t, err, fault.NotReference, password)
	}
}

// TestParseLineBreak has a line break, with the characters that terminals add, at
// each offset of each form.
func TestParseLineBreak(t *testing.T) {
	var g ref.Grammar
	for _, whole := range []string{`{"keyring":"db"}`, `{keyring:db}`, "{ENC}hunter2",
		"<ENC>hunter2"} {
		for i := 1; i < len(whole)-1; i++ {
			for _, lineBreak := range []string{"\r\n", "\n", "\r", "\n  ", " \r\n\t", "\\\n", "\u2028",
				"\u0085", "\v", "\r\n\r\n"} {
				value := whole[:i] + lineBreak + whole[i:]
				if _, err := g.Parse(value); err != nil { // otherwise it is white space in JSON
					require.ErrorIs(t, err, fault.Syntax, "%q", value)
				}
			}
		}
	}
	_, err := g.Parse("{\"keyr\r\ning\":\"db\"}")
	require.ErrorContains(t, err, "line break")
}

func TestParseTwoTypos(t *testing.T) {
	var g ref.Grammar
	for _, value := range []string{`{"kyrng":"db"}`, `{"kayrinng":"db"}`, `{"Keyrin g":"db"}`,
		`{'kyrng':'db'}`, `{kyrng: db}`, `{"keiryng":"db"}`, `{"eyrin":"db"}`, "{\"kyr\r\nng\":\"db\"}",
		`{"regn":"eu-west-1","name":"db"}`, `{regoinn: us-gov-west-1, name: db}`, `{"secrtd":"db"}`,
		`{"scretI":"db"}`, `{"endpnt":"https://v","path":"p","key":"k"}`,
		`password={kyrng: db}`, `{“kyrng”:“db”}`, `{"kyrng"="db"}`, `{ "kyrng" : "db" }`,
		`{&quot;kyrng&quot;:&quot;db&quot;}`, `{\"kyrng\":\"db\"}`} {
		_, err := g.Parse(value)
		require.ErrorIs(t, err, fault.Syntax, value)
	}
	_, err := g.Parse(`{"kyrng":"db"}`)
	require.ErrorContains(t, err, `unknown field "kyrng" (did you mean "keyring"?)`)

	customs := ref.Grammar{Customs: []ref.CustomBackend{{Class: "c", Fields: []string{"secretFile"}}}}
	_, err = customs.Parse(`{"sceretFiel":"x"}`)
	require.ErrorIs(t, err, fault.Syntax)
}

// TestParseRandomPasswords checks that passwords of people and generators are
// plaintext.
func TestParseRandomPasswords(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var g ref.Grammar
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	check := func(password string) {
		_, err := g.Parse(password)
		require.Equal(t, fault.NotReference, err, "%q", password)
	}
	for range 10_000 {
		raw := make([]byte, 1+random.IntN(72))
		for i := range raw {
			raw[i] = byte(random.Uint32())
		}
		check(base64.StdEncoding.EncodeToString(raw))
		check(base64.RawURLEncoding.EncodeToString(raw))
		check(hex.EncodeToString(raw))
		printable, word := make([]byte, len(raw)), make([]byte, len(raw))
		for i, c := range raw {
			printable[i], word[i] = '!'+c%94, letters[int(c)%len(letters)]
		}
		check(string(printable))
		check("{" + string(printable))
		check(string(word))
		check(url.QueryEscape(string(printable)))
	}
}

func TestReferenceStringIsPrintable(t *testing.T) {
	odd := "a\u202eb\u009b31m\u2028\u2029\u2066\u200b\ufeff\u00ad\U000e0041é😀\\\""
	g := ref.Grammar{Customs: []ref.CustomBackend{{Class: "c", Fields: []string{"vaultUri"}}}}
	for _, r := range []ref.Reference{
		{Kind: ref.Keyring, Name: odd + "\x00\x1b[31m\a\n\x7f"},
		{Kind: ref.AWS, Region: "eu-west-1", SecretID: strings.ReplaceAll(odd, "\u009b", ""),
			Pointer: "/\x1b" + odd},
		{Kind: ref.Vault, Mount: "m", Path: "p\u202e", Key: "k\u2028", Endpoint: "https://v",
			Auth: ref.TokenAuth},
		{Kind: ref.Custom, Class: "c", Text: "{\"vaultUri\" :\n\t\"\u202e\\n\u009b\\\"\u2028\"}"},
	} {
		require.NotRegexp(t, `[^\pL\pM\pN\pP\pS ]`, r.String())
		again, err := g.Parse(r.String())
		require.NoError(t, err, r.String())
		require.Equal(t, r.String(), again.String())
		if r.Kind != ref.Custom {
			require.Equal(t, r, again)
		}
	}
	require.NotRegexp(t, `[^\pL\pM\pN\pP\pS ]`,
		ref.Reference{Kind: ref.Custom, Class: "c", Text: "not JSON \x1b[31m \xff \"\n"}.String())
	require.NotRegexp(t, `[^\pL\pM\pN\pP\pS ]`,
		ref.Reference{Kind: ref.Keyring, Name: "\xff\x1b"}.String())
}

func TestParseManyUnknownFields(t *testing.T) {
	var members []string
	for i := range 60 {
		members = append(members, fmt.Sprintf(`"%s%d":"x"`, strings.Repeat("f", 60), i))
	}
	var g ref.Grammar
	for _, value := range []string{`{"region":"eu-west-1",` + strings.Join(members, ",") + "}",
		"{ENC}{" + strings.Join(members, ",") + "}",
		`{"region":"eu-west-1","secretId":"x","` + strings.Repeat("secretId", 1000) + `":"x"}`,
		"{\"region\":\"eu-west-1\",\"secretId\":\"x\",\"a\u202e\x1b[31m\":1}"} {
		_, err := g.Parse(value)
		require.ErrorIs(t, err, fault.Syntax)
		require.Less(t, len(err.Error()), 1000)
		require.NotRegexp(t, `[^\pL\pM\pN\pP\pS ]`, err.Error())
	}
}
