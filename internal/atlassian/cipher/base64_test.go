package cipher_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/cipher"
	"github.com/seed74218947/secretref/internal/fault"
)

func TestBase64(t *testing.T) {
	for text, want := range map[string]string{
		"c2VjcmV0":                 "secret",
		" \t\r\nc2VjcmV0\r\n ":     "secret",
		"c2VjcmV0MQ==":             "secret1",
		"c2VjcmV0MQ":               "secret1",
		"c2VjcmV0MTI=":             "secret12",
		"c2VjcmV0MTI":              "secret12",
		"cMOkw593w7ZyZC3lr4bnoIE=": "päßwörd-密码",
		"aGVsbG8K":                 "hello\n",
		"IHggIA==":                 " x  ",
		"Pz8/fn5+":                 "???~~~",
		"AA==":                     "\x00",
		"8J+YgA==":                 "😀",
		"":                         "",
		"  ":                       "",
	} {
		got, err := cipher.Base64(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
}

func TestBase64Refuses(t *testing.T) {
	for text, says := range map[string]string{
		"c2VjcmV0M":                           "last character",
		"c":                                   "last character",
		"c2VjcmV0MR==":                        "last character", // bits left over: one character is wrong
		"c2VjcmV0MTJ=":                        "last character",
		"c2VjcmV0MQ=":                         "padding",
		"c2VjcmV0MQ===":                       "padding",
		"c2VjcmV0=":                           "padding",
		"c2VjcmV0====":                        "padding",
		"====":                                "padding",
		"=":                                   "padding",
		"c2VjcmV0MQ==c2Vj":                    "padding (=) before the end",
		"c2Vj\ncmV0":                          "white space",
		"c2Vj\r\ncmV0":                        "white space",
		"c2Vj cmV0":                           "white space",
		"c2VjcmV0MQ= =":                       "before the end",
		"Pz8_fn5-":                            "URL alphabet",
		"hunter2!":                            "the password itself",
		"pässword":                            "the password itself",
		"gICA":                                "UTF-8",
		"7aCA":                                "UTF-8", // a surrogate
		"wIA=":                                "UTF-8", // modified UTF-8's NUL
		"rO0ABXQABnNlY3JldA==":                "UTF-8",
		"cwBlAGMAcgBlAHQA":                    "UTF-16",
		"AHMAZQBjAHIAZQB0":                    "UTF-16",
		"{ENC}c2VjcmV0":                       "remove the prefix",
		"<ENC>c2VjcmV0":                       "remove the prefix",
		"{ENC}":                               "remove the prefix",
		`{"region":"a","secretId":"b"}`:       "name the class",
		`{ENC}{"region":"a","secretId":"b"}`:  "name the class",
		`<ENC><"region":"a","secretId":"b">`:  "name the class",
		`{"keyFilePath":"/k"}`:                "AlgorithmSecretStore",
		`{ENC} {"serializedSealedObject":""}`: "AlgorithmSecretStore",
	} {
		got, err := cipher.Base64(text)
		require.ErrorIs(t, err, fault.Syntax, text)
		require.ErrorContains(t, err, says, text)
		require.Empty(t, got)
		for part := range strings.FieldsSeq(text) {
			require.True(t, len(part) < 6 || !strings.Contains(err.Error(), part), "%v", err)
		}
	}
	_, err := cipher.Base64(" {ATL_SECURED} ")
	require.ErrorIs(t, err, fault.Unsupported)
}

// FuzzBase64 checks three laws: encoded text decodes; decoded text encodes to the
// same input; and no error quotes the text.
func FuzzBase64(f *testing.F) {
	for _, s := range []string{"", "secret", "c2VjcmV0MQ==", "c2VjcmV0MQ", "c2VjcmV0MR==",
		"c2Vj\ncmV0", "gICA", "päß"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := cipher.Base64("\n" + base64.StdEncoding.EncodeToString([]byte(s)))
		n := strings.Count(s, "\x00")
		require.Equal(t, utf8.ValidString(s) && (n < 2 || 2*n < len(s)), err == nil)
		if err == nil {
			require.Equal(t, s, got)
		}
		if got, err = cipher.Base64(s); err != nil {
			require.ErrorIs(t, err, fault.Syntax)
			if len(s) > 60 {
				require.NotContains(t, err.Error(), s)
			}
			return
		}
		text := strings.TrimSpace(s)
		padded := base64.StdEncoding.EncodeToString([]byte(got))
		require.True(t, text == padded || text == strings.TrimRight(padded, "="))
	})
}
