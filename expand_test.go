package secretref_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestExpand_misspelt(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	_, err := r.Expand(t.Context(), "a\npassword={ATL_SECURED}", nil)
	require.ErrorIs(t, err, secretref.ErrUnsupported)
	require.Contains(t, err.Error(), "line 2")
	for _, text := range []string{
		`ENC{"region":"x"}`, `{ENC"region":"x"}`, `{ECN}{"region":"x"}`, strings.Repeat("{ENC}", 1<<16),
	} {
		_, err := r.Expand(t.Context(), "p="+text, nil)
		require.ErrorIs(t, err, secretref.ErrSyntax)
		require.Less(t, len(err.Error()), 10_000)
	}
}

func TestExpand_bareReferences(t *testing.T) {
	bare := strings.TrimPrefix(awsRef, "{ENC}")
	vault := strings.TrimPrefix(vaultRef, "{ENC}")
	r := secretref.New(&secretref.Options{
		Fake: configFake(), Providers: storeProviders(func(context.Context, []byte) ([]byte, error) {
			return nil, nil
		}),
	})
	defer r.Close()
	for _, text := range []string{
		bare, vault, "postgres://app:" + vault + "@h/x", `{"keyring":"a"}`, `{ "keyring" : "a" }`,
		`{"keyrin":"a"}`, `{"Keyring":"a"}`,
		`{"region":"eu-west-1","secretID":"x"}`, `{"regoin":"eu-west-1","secretId":"x"}`,
		`{"secretId":"x","region":"eu-west-1","note":1}`,
		`{"mount":"a","paht":"b","key":"c","endpoint":"https://v"}`,
		`{"mount":"a","path":"b","key":"c","endpoint":"https://v","namespace":"n"}`,
		`{"mount":"a","path":"b","key":"c","endpoint":"https://v",}`,
		`{"reg\u0069on":"eu-west-1","secretId":"x"}`,
		`{"db":` + bare + `}`, `[1,` + vault + `]`, awsRef + bare, bare + awsRef, "{{{" + bare,
		`{"storeId":"x"}`,
		`{"Region":"eu-west-1","secretID":"x"}`,
		`{"MOUNT":"a","PATH":"b","KEY":"c","ENDPOINT":"https://v"}`,
		url.UserPassword("app", awsRef).String() + "@h",
		"postgres://app:" + url.QueryEscape(bare) + "@h/x", url.QueryEscape(url.QueryEscape(awsRef)),
		url.PathEscape(vault),
		"<password>" + html.EscapeString(bare) + "</password>",
		html.EscapeString(`<ENC><"keyring":"a">`) + " ", strings.ReplaceAll(bare, `"`, "&#x22;"),
		`{"password":` + strconv.Quote(bare) + `}`, `{"password":` + strconv.Quote(vault) + `}`,
		`"` + strings.ReplaceAll(bare, "{", `\u007b`) + `"`,
	} {
		t.Run(text, func(t *testing.T) {
			_, err := r.Expand(t.Context(), "line 1\n"+text, nil)
			require.ErrorIs(t, err, secretref.ErrSyntax)
			require.ErrorContains(t, err, "line 2: ")
			require.ErrorContains(t, err, "{ENC}")
		})
	}
	for _, text := range []string{
		`{"a":1}`, `{"key":"v"}`, `{"path":"/x","mount":"y"}`, `{"region":"eu-west-1"}`,
		`{"region":"eu-west-1","bucket":"b"}`, `{}`, `{"mount":"a"`,
		"100% {", `C:\{a}\n`, "a&amp;b", "%7B%22a%22%3A1%7D", `{"a":"{\"b\":1}"}`, "%", "\\", "&;",
		"a\x00b",
		`{"region":"eu-west-1","secrets":["x"]}`, `{"level":"info","msg":"mount path key endpoint"}`,
		`{region:eu-west-1,secretId:x}`, "{", "{{", `{"`,
	} {
		got, err := r.Expand(t.Context(), text, nil)
		require.NoError(t, err, text)
		require.Equal(t, text, got.Reveal())
	}
}

// Text is scanned once, even if it is full of braces and quotes.
func TestExpand_linearTime(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	times := 1 << 18 // in quadratic time the test would time out
	if testing.Short() {
		times = 1 << 16
	}
	for _, piece := range []string{
		"{", `{"`, `{"a":`, `{"a":"b",`, `{"\"`, `{   `, `{"a":1,"b":{`, `"{"`, "%7B", `\`, "&lt;",
		`%7B\"a%22:`, "{\n%", "\x00{",
	} {
		_, err := r.Expand(t.Context(), strings.Repeat(piece, times), nil)
		require.NoError(t, err)
	}
}

func TestExpand_utf16(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	for _, ref := range []string{awsRef, strings.TrimPrefix(vaultRef, "{ENC}")} {
		text := []byte("\xff\xfe")
		for _, unit := range utf16.Encode([]rune("user=app\r\npassword=" + ref + "\r\n")) {
			text = binary.LittleEndian.AppendUint16(text, unit)
		}
		_, err := r.Expand(t.Context(), string(text), nil)
		require.ErrorIs(t, err, secretref.ErrSyntax)
		require.ErrorContains(t, err, "UTF-16")
	}
}

func TestExpand(t *testing.T) {
	const inner = `"region":"eu-west-1","secretId":"db","secretPointer":"/password"`
	upper := func(s string) string { return "<" + strings.ToUpper(s) + ">" }
	for name, row := range map[string]struct {
		text   string
		escape func(string) string
		want   string
	}{
		"nothing": {"", nil, ""},
		"no reference": {
			"postgres://u:p@h/{db}?a=%7B\n", nil, "postgres://u:p@h/{db}?a=%7B\n",
		},
		"one":             {"password=" + awsRef, nil, "password=" + secretBehind},
		"alone":           {awsRef, nil, secretBehind},
		"text all around": {"a" + awsRef + "b", nil, "a" + secretBehind + "b"},
		"several, side by side": {
			awsRef + vaultRef + awsRef, nil, secretBehind + secretBehind + secretBehind,
		},
		"the angle form": {"a <ENC><" + inner + "> b", nil, "a " + secretBehind + " b"},
		"prefix and form mixed": {
			"{ENC}<" + inner + ">,<ENC>{" + inner + "}", nil, secretBehind + "," + secretBehind,
		},
		"over several lines": {
			"a: {ENC} {\n  " + strings.ReplaceAll(inner, ",", ",\r\n\t") + "\n}\nb: c", nil,
			"a: " + secretBehind + "\nb: c",
		},
		"braces around":     {"{{ENC}{" + inner + "}}", nil, "{" + secretBehind + "}"},
		"braces in a value": {`{ENC}{"keyring":"}{ENC}\""}x`, nil, "odd name" + "x"},
		"only the secret is escaped": {
			"a&b=" + awsRef + "&c d", url.QueryEscape, "a&b=" + url.QueryEscape(secretBehind) + "&c d",
		},
		"each secret is escaped": {
			awsRef + " " + vaultRef, upper, upper(secretBehind) + " " + upper(secretBehind),
		},
		"garbage behind is only text": {awsRef + `,"x":"y"}`, nil, secretBehind + `,"x":"y"}`},
		"parts of a prefix":           {"{ENC <ENC {EN} {ENCX} ENC}", nil, "{ENC <ENC {EN} {ENCX} ENC}"},
		"invalid UTF-8 around":        {"\xff" + awsRef + "\xfe", nil, "\xff" + secretBehind + "\xfe"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := configFake()
			fake.Set(`{"keyring":"}{ENC}\""}`, "odd name")
			r := secretref.New(&secretref.Options{Fake: fake, Strict: true})
			defer r.Close()
			got, err := r.Expand(t.Context(), row.text, row.escape)
			require.NoError(t, err)
			require.Equal(t, row.want, got.Reveal())
			require.Equal(t, "[redacted]", fmt.Sprint(secretref.Secret(got)), "the result is a Secret")
		})
	}
}

func TestExpand_once(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"keyring":"a"}`, `{ENC}{"keyring":"b"}`)
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	got, err := r.Expand(t.Context(), `x{ENC}{"keyring":"a"}`, nil)
	require.NoError(t, err)
	require.Equal(t, `x{ENC}{"keyring":"b"}`, got.Reveal())
}

func TestExpand_namesTheLine(t *testing.T) {
	fake := configFake()
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	for name, row := range map[string]struct {
		broken string
		kind   error
	}{
		"nothing behind the prefix": {"{ENC}", secretref.ErrSyntax},
		"a password behind it":      {"{ENC}" + canary, secretref.ErrSyntax},
		"cut short":                 {`{ENC}{"region":"` + canary, secretref.ErrSyntax},
		"an unknown field": {
			`{ENC}{"region":"x","secretId":"y","z":"` + canary + `"}`, secretref.ErrSyntax,
		},
		"a field missing": {`{ENC}{"region":"` + canary + `"}`, secretref.ErrSyntax},
		"no fields":       {`{ENC}{}`, secretref.ErrSyntax},
		"entities for quotes": {
			`{ENC}{&quot;region&quot;:&quot;` + canary + `&quot;}`, secretref.ErrSyntax,
		},
		"the prefix in small": {
			`{enc}{"region":"eu-west-1","secretId":"` + canary + `"}`, secretref.ErrSyntax,
		},
		"the other one in small": {
			`<Enc>{"region":"eu-west-1","secretId":"` + canary + `"}`, secretref.ErrSyntax,
		},
		"the prefix twice": {`{ENC}` + awsRef, secretref.ErrSyntax},
		"the wrong bracket": {
			`{ENC}{"region":"eu-west-1","secretId":"` + canary + `">`, secretref.ErrSyntax,
		},
		"the placeholder": {`{ENC}{ATL_SECURED}`, secretref.ErrUnsupported},
		"too long": {
			`{ENC}{"keyring":"` + strings.Repeat("x", 70<<10) + `"}`, secretref.ErrSyntax,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := r.Expand(t.Context(),
				"first "+awsRef+"\nsecond\nthird "+row.broken+" "+canary+"\nfourth", nil)
			require.ErrorIs(t, err, row.kind)
			require.NotContains(t, err.Error(), canary)
			var located *secretref.Error
			require.ErrorAs(t, err, &located)
			require.Equal(t, "line 3", located.Source)
			require.True(t, got.IsZero())
		})
	}
	require.Zero(t, fake.Calls())
}

func TestExpand_reportsEveryFailure(t *testing.T) {
	fake := configFake()
	fake.Fail(vaultRef, secretref.ErrDenied)
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	long := strings.ReplaceAll(awsRef, `,"`, ",\n\"") // on three lines
	got, err := r.Expand(t.Context(), long+"\n"+vaultRef+"\n\n"+`{ENC}{"keyring":"x"}`+"\n", nil)
	require.True(t, got.IsZero())
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], "secretref: line 4: "+vaultRef+": access denied")
	require.Contains(t, lines[1], `secretref: line 6: {ENC}{"keyring":"x"}: not found`)
}
