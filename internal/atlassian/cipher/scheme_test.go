package cipher_test

import (
	"bytes"
	"crypto/aes"
	gocipher "crypto/cipher"
	"crypto/des"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/cipher"
	"github.com/seed74218947/secretref/internal/atlassian/cipher/javaobj"
	"github.com/seed74218947/secretref/internal/atlassian/cipher/javaobj/javaobjtest"
	"github.com/seed74218947/secretref/internal/fault"
)

// encrypt pads and encrypts a stream, as the vendor's tool does.
func encrypt(t testing.TB, algorithm string, key, stream []byte) javaobj.Sealed {
	t.Helper()
	name, _, _ := strings.Cut(algorithm, "/")
	newCipher, alg := aes.NewCipher, "AES"
	switch {
	case strings.EqualFold(name, "DES"):
		newCipher, alg = des.NewCipher, "DES"
	case strings.EqualFold(name, "DESede"), strings.EqualFold(name, "TripleDES"):
		newCipher, alg = des.NewTripleDESCipher, "DESede"
	}
	block, err := newCipher(key)
	require.NoError(t, err)
	size := block.BlockSize()
	iv := bytes.Repeat([]byte{0xa7}, size)
	n := size - len(stream)%size
	content := append(bytes.Clone(stream), bytes.Repeat([]byte{byte(n)}, n)...)
	gocipher.NewCBCEncrypter(block, iv).CryptBlocks(content, content)
	return javaobj.Sealed{
		EncodedParams:    append([]byte{4, byte(size)}, iv...),
		EncryptedContent: content,
		ParamsAlg:        alg,
		SealAlg:          algorithm,
	}
}

// openStreams writes a pair to files and opens it.
func openStreams(t testing.TB, sealed javaobj.Sealed, key javaobj.Key) (string, error) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "object"), javaobjtest.Sealed(sealed), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key"), javaobjtest.Key(key), 0o600))
	return cipher.Algorithm{Dir: dir}.Open(`{"sealedObjectFilePath":"object","keyFilePath":"key"}`)
}

var (
	key8  = []byte("8 bytes!")
	key16 = []byte("sixteen bytes 16")
	key24 = []byte("twentyfour bytes are 24.")
	key32 = []byte("thirtytwo bytes are 32 and many.")
)

const cbc = "AES/CBC/PKCS5Padding"

func TestAlgorithmNames(t *testing.T) {
	for _, c := range []struct {
		algorithm, keyAlgorithm string
		key                     []byte
		kind                    error
	}{
		{cbc, "AES", key16, nil},
		{cbc, "AES", key24, nil},
		{cbc, "AES", key32, nil},
		{"aes/cbc/pkcs5padding", "aes", key16, nil},
		{"AES/CBC/PKCS5PADDING", "Aes", key16, nil},
		{"AES / CBC / PKCS5Padding", "AES", key16, nil},
		{cbc, "Rijndael", key16, nil},
		{"DES/CBC/PKCS5Padding", "des", key8, nil},
		{"dES/cBC/pkcs5pADDING", "DES", key8, nil},
		{"DESede/CBC/PKCS5Padding", "desEDE", key24, nil},
		{"desede/cbc/pkcs5padding", "TripleDES", key24, nil},
		{"TripleDES/CBC/PKCS5Padding", "DESede", key24, nil},

		{cbc, "DES", key16, fault.Corrupt},
		{cbc, cbc, key16, fault.Corrupt},
		{cbc, " AES", key16, fault.Corrupt},
		{cbc, "AEſ", key16, fault.Corrupt},
		{cbc, "", key16, fault.Corrupt},
		{"DES/CBC/PKCS5Padding", "DESede", key8, fault.Corrupt},
		{"DESede/CBC/PKCS5Padding", "DES", key24, fault.Corrupt},
		{"Rijndael/CBC/PKCS5Padding", "AES", key16, fault.Unsupported},
		{"AES", "AES", key16, fault.Unsupported},
		{"AES/CBC", "AES", key16, fault.Unsupported},
		{"AES/ECB/PKCS5Padding", "AES", key16, fault.Unsupported},
		{"AES/GCM/NoPadding", "AES", key16, fault.Unsupported},
		{"AES/CBC/NoPadding", "AES", key16, fault.Unsupported},
		{"AES/CBC/PKCS7Padding", "AES", key16, fault.Unsupported},
		{"AES/CBC/PKCS5Padding/", "AES", key16, fault.Unsupported},
		{"AES/CBC/PKCS5Paddıng", "AES", key16, fault.Unsupported},
		{"AEſ/CBC/PKCS5Padding", "AES", key16, fault.Unsupported},
		{"PBEWithMD5AndDES", "AES", key16, fault.Unsupported},
		{"", "AES", key16, fault.Unsupported},
	} {
		t.Run(c.algorithm+" "+c.keyAlgorithm, func(t *testing.T) {
			if c.kind == nil {
				needsDES(t, c.algorithm)
			}
			engine := c.algorithm
			if c.kind != nil {
				engine = cbc // any cipher: the object is refused before
				if len(c.key) == 8 {
					c.key = key16
				}
			}
			s := encrypt(t, engine, c.key, javaobjtest.String("secret"))
			if s.SealAlg = c.algorithm; c.kind != nil && strings.HasPrefix(c.algorithm, "DES") {
				s.EncodedParams, s.ParamsAlg = []byte("\x04\x08IVIVIVIV"), "DESede"
				if strings.HasPrefix(c.algorithm, "DES/") {
					s.ParamsAlg, c.key = "DES", key8
				}
			}
			got, err := openStreams(t, s, javaobj.Key{Algorithm: c.keyAlgorithm, Encoded: c.key})
			if c.kind != nil {
				require.ErrorIs(t, err, c.kind)
				require.Empty(t, got)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "secret", got)
		})
	}
}

func TestAlgorithmKeyLengths(t *testing.T) {
	for algorithm, lengths := range map[string][]int{"AES": {16, 24, 32}, "DES": {8}, "DESede": {24}} {
		block := 8
		if algorithm == "AES" {
			block = 16
		}
		for n := 1; n < 70; n++ {
			s := javaobj.Sealed{
				EncodedParams:    append([]byte{4, byte(block)}, make([]byte, block)...),
				EncryptedContent: make([]byte, 32), ParamsAlg: algorithm,
				SealAlg: algorithm + "/CBC/PKCS5Padding",
			}
			_, err := openStreams(t, s,
				javaobj.Key{Algorithm: algorithm, Encoded: bytes.Repeat([]byte{7}, n)})
			fits := false
			for _, l := range lengths {
				fits = fits || l == n
			}
			require.Error(t, err)
			require.Equal(t, !fits, strings.Contains(err.Error(), "does not support"), "%s %d: %v",
				algorithm, n, err)
			if !fits {
				require.ErrorIs(t, err, fault.Corrupt)
			}
		}
	}
}

// TestAlgorithmTextLengths has the limits of a block, of the padding and of the two
// string forms.
func TestAlgorithmTextLengths(t *testing.T) {
	texts := []string{strings.Repeat("y", 65535), strings.Repeat("y", 65536),
		strings.Repeat("ä", 32767), strings.Repeat("ä", 32768), strings.Repeat("\x00😀", 9000)}
	for n := range 70 {
		texts = append(texts, strings.Repeat("x", n))
	}
	for _, c := range []struct {
		algorithm, name string
		key             []byte
	}{{cbc, "AES", key32}, {"DES/CBC/PKCS5Padding", "DES", key8},
		{"DESede/CBC/PKCS5Padding", "DESede", key24}} {
		t.Run(c.name, func(t *testing.T) {
			needsDES(t, c.algorithm)
			for _, text := range texts {
				got, err := openStreams(t, encrypt(t, c.algorithm, c.key, javaobjtest.String(text)),
					javaobj.Key{Algorithm: c.name, Encoded: c.key})
				require.NoError(t, err)
				require.True(t, text == got, "%d bytes", len(text))
			}
		})
	}
}

func TestAlgorithmParameters(t *testing.T) {
	good := encrypt(t, cbc, key16, javaobjtest.String("secret"))
	iv := string(good.EncodedParams[2:])
	for name, c := range map[string]struct {
		params, alg string
		kind        error
	}{
		"null":              {"", "", fault.Unsupported},
		"GCM's":             {"\x30\x11\x04\x0c123456789012\x02\x01\x10", "GCM", fault.Unsupported},
		"GCM's, called AES": {"\x30\x11\x04\x0c123456789012\x02\x01\x10", "AES", fault.Unsupported},
		"of DES":            {"\x04\x10" + iv, "DES", fault.Unsupported},
		"an integer":        {"\x02\x10" + iv, "AES", fault.Unsupported},
		"constructed":       {"\x24\x10" + iv, "AES", fault.Unsupported},
		"cut short":         {"\x04\x10" + iv[1:], "AES", fault.Corrupt},
		"too long":          {"\x04\x11" + iv + "x", "AES", fault.Corrupt},
		"trailing":          {"\x04\x10" + iv + "x", "AES", fault.Corrupt},
		"half a block":      {"\x04\x08" + iv[8:], "AES", fault.Corrupt},
		"length, long form": {"\x04\x81\x10" + iv, "AES", fault.Corrupt},
		"indefinite":        {"\x04\x80" + iv, "AES", fault.Corrupt},
		"tag alone":         {"\x04", "AES", fault.Corrupt},
	} {
		t.Run(name, func(t *testing.T) {
			s := good
			s.EncodedParams, s.ParamsAlg = []byte(c.params), c.alg
			if c.params == "" {
				s.EncodedParams = nil
			}
			_, err := openStreams(t, s, javaobj.Key{Algorithm: "AES", Encoded: key16})
			require.ErrorIs(t, err, c.kind)
		})
	}
	s := good
	s.EncodedParams = []byte{}
	_, err := openStreams(t, s, javaobj.Key{Algorithm: "AES", Encoded: key16})
	require.ErrorIs(t, err, fault.Corrupt)
}

// TestAlgorithmErrorsAreEqual checks that all failures of decryption have one text.
func TestAlgorithmErrorsAreEqual(t *testing.T) {
	key := javaobj.Key{Algorithm: "AES", Encoded: key16}
	text := javaobjtest.String("hunter2hunter2hunter2")
	good := encrypt(t, cbc, key16, text)
	raw := func(plain string) javaobj.Sealed { // with explicit padding
		require.Zero(t, len(plain)%16)
		s := encrypt(t, cbc, key16, []byte(plain))
		s.EncryptedContent = s.EncryptedContent[:len(plain)]
		return s
	}
	padded := func(n int, with string) javaobj.Sealed {
		return raw(string(javaobjtest.String(strings.Repeat("x", 32-7-n))) + with)
	}
	cases := map[string]javaobj.Sealed{
		"a block lost": {EncodedParams: good.EncodedParams,
			EncryptedContent: good.EncryptedContent[:16], ParamsAlg: "AES", SealAlg: cbc},
		"half a block": {EncodedParams: good.EncodedParams,
			EncryptedContent: good.EncryptedContent[:24], ParamsAlg: "AES", SealAlg: cbc},
		"nothing": {EncodedParams: good.EncodedParams, EncryptedContent: []byte{},
			ParamsAlg: "AES", SealAlg: cbc},
		"the first block lost": {EncodedParams: good.EncodedParams,
			EncryptedContent: good.EncryptedContent[16:], ParamsAlg: "AES", SealAlg: cbc},
		"no padding":           padded(0, ""),
		"padding of zero":      padded(1, "\x00"),
		"too much padding":     padded(1, "\x11"),
		"padding that differs": padded(3, "\x03\x02\x03"),
		"a block and a byte":   padded(17, strings.Repeat("\x11", 17)),
		"padding of 255":       padded(1, "\xff"),
		"padding and nothing":  raw(strings.Repeat("\x10", 16)),
		"trailing byte":        encrypt(t, cbc, key16, append(bytes.Clone(text), 0)),
		"two strings":          encrypt(t, cbc, key16, append(bytes.Clone(text), text[4:]...)),
		"no header":            encrypt(t, cbc, key16, text[4:]),
		"null":                 encrypt(t, cbc, key16, []byte(javaobjtest.Header+"\x70")),
		"plain text":           encrypt(t, cbc, key16, []byte("hunter2")),
		"block data":           encrypt(t, cbc, key16, []byte(javaobjtest.Header+"\x77\x07hunter2")),
		"malformed text": encrypt(t, cbc, key16,
			[]byte(javaobjtest.Header+"\x74\x00\x08hunter2\xff")),
		"an object without name": encrypt(t, cbc, key16,
			[]byte(javaobjtest.Header+"\x73\x72\x00\x08hunter2!")),
	}
	_, want := openStreams(t, good, javaobj.Key{Algorithm: "AES", Encoded: bytes.ToUpper(key16)})
	require.ErrorIs(t, want, fault.Corrupt)
	for name, s := range cases {
		got, err := openStreams(t, s, key)
		require.ErrorIs(t, err, fault.Corrupt, name)
		require.Empty(t, got)
		require.Equal(t, withoutDirs(want), withoutDirs(err), name)
	}
	full := padded(16, strings.Repeat("\x10", 16)) // a whole block is valid padding
	got, err := openStreams(t, full, key)
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("x", 9), got)
}

// withoutDirs returns an error's text without the temporary directories.
func withoutDirs(err error) string {
	var words []string
	for word := range strings.FieldsSeq(err.Error()) {
		words = append(words, filepath.Base(word))
	}
	return strings.Join(words, " ")
}

func TestAlgorithmOtherObject(t *testing.T) {
	s := encrypt(t, cbc, key16, javaobjtest.Key(javaobj.Key{Algorithm: "AES", Encoded: key16}))
	_, err := openStreams(t, s, javaobj.Key{Algorithm: "AES", Encoded: key16})
	require.ErrorIs(t, err, fault.Unsupported)
	require.NotContains(t, err.Error(), "SecretKeySpec\"")
	require.ErrorContains(t, err, "not a string")
}

// FuzzSeal seals a text and opens it, then with one changed byte in key, vector or
// content. A changed key opens nothing. CBC has no tag, so that another change may
// only change the text.
func FuzzSeal(f *testing.F) {
	f.Add([]byte("secret"), []byte("0123456789abcdef"), uint16(20), byte(1))
	f.Add([]byte("a\x00b😀c\x00"), []byte("0123456789abcdef01234567"), uint16(3), byte(0x80))
	f.Add(bytes.Repeat([]byte("long"), 20), []byte("0123456789abcdef0123456789abcdef"), uint16(99),
		byte(0xff))
	f.Fuzz(func(t *testing.T, text, key []byte, at uint16, flip byte) {
		if n := len(key); n != 16 && n != 24 && n != 32 {
			return
		}
		want := string(utf16.Decode(utf16.Encode([]rune(string(text)))))
		s := encrypt(t, cbc, key, javaobjtest.String(want))
		k := javaobj.Key{Algorithm: "AES", Encoded: key}
		got, err := openInline(t, s, k)
		require.NoError(t, err)
		require.Equal(t, want, got)
		if flip == 0 {
			return
		}

		other := k
		other.Encoded = bytes.Clone(key)
		other.Encoded[int(at)%len(key)] ^= flip
		_, err = openInline(t, s, other)
		require.ErrorIs(t, err, fault.Corrupt)

		changed := s
		changed.EncryptedContent = bytes.Clone(s.EncryptedContent)
		changed.EncryptedContent[int(at)%len(s.EncryptedContent)] ^= flip
		if got, err = openInline(t, changed, k); err == nil {
			require.NotEqual(t, want, got)
		} else {
			require.True(t, errorIs(err, fault.Corrupt) != errorIs(err, fault.Unsupported))
		}
		changed = s
		changed.EncodedParams = bytes.Clone(s.EncodedParams)
		changed.EncodedParams[2+int(at)%16] ^= flip
		if got, err = openInline(t, changed, k); err == nil {
			require.NotEqual(t, want, got)
			require.GreaterOrEqual(t, int(at)%16, 4) // after the header
		} else {
			require.True(t, errorIs(err, fault.Corrupt) != errorIs(err, fault.Unsupported))
		}
	})
}
