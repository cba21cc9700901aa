package javaobj_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/cipher/javaobj"
	"github.com/seed74218947/secretref/internal/atlassian/cipher/javaobj/javaobjtest"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/test/vectors"
)

// Streams that a JDK wrote.
var (
	keyStream = string(javaobjtest.Key(javaobj.Key{Algorithm: "AES",
		Encoded: []byte("0123456789abcdef")}))
	sealedStream = string(javaobjtest.Sealed(javaobj.Sealed{
		EncodedParams:    []byte("\x04\x10IV-IV-IV-IV-IV-."),
		EncryptedContent: []byte("0123456789abcdef"),
		ParamsAlg:        "AES",
		SealAlg:          "AES/CBC/PKCS5Padding",
	}))
	stringStream = string(javaobjtest.String("secret"))
)

func readKey(s string) error    { _, err := javaobj.ReadKey([]byte(s)); return err }
func readSealed(s string) error { _, err := javaobj.ReadSealed([]byte(s)); return err }
func readString(s string) error { _, err := javaobj.ReadString([]byte(s)); return err }

func TestReadJDKStreams(t *testing.T) {
	for _, v := range vectors.LoadSealed(t) {
		object, key := vectors.SealedPaths(t, v.ID)
		stream, err := os.ReadFile(key)
		require.NoError(t, err)
		k, err := javaobj.ReadKey(stream)
		require.NoError(t, err)
		require.Equal(t, v.KeyAlgorithm, k.Algorithm)
		require.Equal(t, v.Key, hex.EncodeToString(k.Encoded))
		require.Equal(t, stream, javaobjtest.Key(k))

		stream, err = os.ReadFile(object)
		require.NoError(t, err)
		s, err := javaobj.ReadSealed(stream)
		require.NoError(t, err)
		require.Equal(t, v.Algorithm, s.SealAlg)
		require.Equal(t, v.KeyAlgorithm, s.ParamsAlg)
		require.Equal(t, stream, javaobjtest.Sealed(s))
		if v.Inline != nil {
			require.Equal(t, *v.Inline, base64.StdEncoding.EncodeToString(stream))
		}
	}
}

func TestReadSealedNullParameters(t *testing.T) {
	want := javaobj.Sealed{EncryptedContent: []byte{1}, SealAlg: "AES"}
	got, err := javaobj.ReadSealed(javaobjtest.Sealed(want))
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestReadCopiesStream(t *testing.T) {
	stream := []byte(sealedStream)
	s, err := javaobj.ReadSealed(stream)
	require.NoError(t, err)
	clear(stream)
	require.Equal(t, "0123456789abcdef", string(s.EncryptedContent))
	require.Equal(t, "AES/CBC/PKCS5Padding", s.SealAlg)
}

func TestKeyFormat(t *testing.T) {
	k := javaobj.Key{Algorithm: "AES", Encoded: []byte("hunter2!hunter2!")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o"} {
		for _, v := range []any{k, &k, []javaobj.Key{k}, struct{ K javaobj.Key }{k}} {
			got := fmt.Sprintf(verb, v)
			require.NotContains(t, got, "hunter2")
			require.NotContains(t, strings.ToLower(got), "68756e")
			require.NotContains(t, got, "104")
		}
	}
}

// A JDK writes repeated elements of a stream as back references.
func TestReadBackReferences(t *testing.T) {
	t.Run("a string as field and as field", func(t *testing.T) {
		s, err := javaobj.ReadSealed([]byte(replace(t, sealedStream, "\x74\x00\x14AES/CBC/PKCS5Padding",
			"\x71\x00\x7e\x00\x07")))
		require.NoError(t, err)
		require.Equal(t, "AES", s.SealAlg)
	})
	t.Run("a string as field and as type", func(t *testing.T) {
		k, err := javaobj.ReadKey([]byte(replace(t, keyStream, "\x74\x00\x03AES",
			"\x71\x00\x7e\x00\x02")))
		require.NoError(t, err)
		require.Equal(t, "[B", k.Algorithm)
	})
	t.Run("the same array", func(t *testing.T) {
		s, err := javaobj.ReadSealed([]byte(replace(t, sealedStream,
			"\x75\x71\x00\x7e\x00\x04\x00\x00\x00\x100123456789abcdef", "\x71\x00\x7e\x00\x05")))
		require.NoError(t, err)
		require.Equal(t, s.EncodedParams, s.EncryptedContent)
	})
	t.Run("a class written again", func(t *testing.T) {
		s, err := javaobj.ReadSealed([]byte(replace(t, sealedStream, "\x75\x71\x00\x7e\x00\x04",
			"\x75"+byteArrayDesc)))
		require.NoError(t, err)
		require.Equal(t, "0123456789abcdef", string(s.EncryptedContent))
	})
	t.Run("a type written again", func(t *testing.T) {
		_, err := javaobj.ReadSealed([]byte(shift(t,
			replace(t, sealedStream, "\x71\x00\x7e\x00\x01L", "\x74\x00\x02[BL"))))
		require.NoError(t, err)
	})
}

func TestReadString(t *testing.T) {
	long := strings.Repeat("x", 65536)
	for name, c := range map[string]struct{ body, want string }{
		"empty":                   {"\x74\x00\x00", ""},
		"ASCII":                   {"\x74\x00\x06secret", "secret"},
		"NUL":                     {"\x74\x00\x02\xc0\x80", "\x00"},
		"two bytes":               {"\x74\x00\x02\xc3\xa4", "ä"},
		"three bytes":             {"\x74\x00\x03\xe2\x82\xac", "€"},
		"a pair":                  {"\x74\x00\x06\xed\xa0\xbd\xed\xb8\x80", "😀"},
		"the last pair":           {"\x74\x00\x06\xed\xaf\xbf\xed\xbf\xbf", "\U0010ffff"},
		"U+FFFD itself":           {"\x74\x00\x03\xef\xbf\xbd", "\ufffd"},
		"65535 bytes":             {"\x74\xff\xff" + long[1:], long[1:]},
		"65536 bytes":             {"\x7c\x00\x00\x00\x00\x00\x01\x00\x00" + long, long},
		"short, in the long form": {"\x7c\x00\x00\x00\x00\x00\x00\x00\x01x", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := javaobj.ReadString([]byte(javaobjtest.Header + c.body))
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestReadStringUnpairedSurrogate(t *testing.T) {
	for name, body := range map[string]string{
		"a lone high surrogate":       "\x74\x00\x05x\xed\xa0\x80y",
		"a high surrogate at the end": "\x74\x00\x04x\xed\xa0\x80",
		"a lone low surrogate":        "\x74\x00\x05x\xed\xb0\x80y",
		"the wrong way round":         "\x74\x00\x06\xed\xb8\x80\xed\xa0\xbd",
		"high before a pair":          "\x74\x00\x09\xed\xa0\xbd\xed\xa0\xbd\xed\xb8\x80",
		"in the long form":            "\x7c\x00\x00\x00\x00\x00\x00\x00\x03\xed\xa0\x80",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := javaobj.ReadString([]byte(javaobjtest.Header + body))
			require.ErrorIs(t, err, fault.Corrupt)
			require.ErrorIs(t, err, javaobj.ErrSurrogate)
			require.Empty(t, got)
		})
	}
}

func TestReadStringMalformed(t *testing.T) {
	for _, body := range []string{
		"\x00", "\x80", "\xbf", "\xc3", "\xc3x", "\xc3\xc3", "\xe2\x82", "\xe2\x82x", "\xe2x\xac",
		"\xed\xa0", "\xed\xa0\x80\xed",
		"\xf0\x9f\x98\x80", "\xf8", "\xff", "\xfe",
		"\xc0\x81", "\xc1\xbf", "\xc0\x00", "\xe0\x80\x80", "\xe0\x9f\xbf", // overlong
	} {
		stream := fmt.Sprintf("%s\x74\x00%c%s", javaobjtest.Header, len(body), body)
		require.ErrorIs(t, readString(stream), fault.Corrupt, "%x", body)
		require.ErrorIs(t, readString(replace(t, stream, "\x74", "\x7c\x00\x00\x00\x00\x00\x00")),
			fault.Corrupt, "%x", body)
	}
}

func TestReadOtherClass(t *testing.T) {
	hashMap, err := os.ReadFile(filepath.Join(vectors.SealedDir(t), "neg-hashmap.SecretKeySpec"))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		err error
		say string
	}{
		"a map for a key":           {readKey(string(hashMap)), "java.util.HashMap"},
		"a map for a sealed object": {readSealed(string(hashMap)), "java.util.HashMap"},
		"a map for a string":        {readString(string(hashMap)), "java.util.HashMap"},
		"a string for a key":        {readKey(stringStream), "java.lang.String"},
		"a string for a sealed":     {readSealed(stringStream), "java.lang.String"},
		"a key for a sealed object": {readSealed(keyStream), "javax.crypto.spec.SecretKeySpec"},
		"a sealed object for a key": {readKey(sealedStream), "javax.crypto.SealedObject"},
		"a key for a string":        {readString(keyStream), "javax.crypto.spec.SecretKeySpec"},
		"an array for a string": {readString(javaobjtest.Header + "\x75" + byteArrayDesc +
			"\x00\x00\x00\x00"), "[B"},
		"a subclass": {readKey(replace(t, keyStream,
			"\x00\x1fjavax.crypto.spec.SecretKeySpec", "\x00\x0dcom.x.MyKey$1")), "com.x.MyKey$1"},
		"an enum constant": {readKey(javaobjtest.Header + "\x7e\x72\x00\x0ajava.X$Kind" +
			keyStream[40:]), "java.X$Kin"},
		"a class whose name is a lie": {readKey(replace(t, keyStream, "javax.crypto.spec.SecretKeySpec",
			"javax.crypto.spec.SecretKeySpe}")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if c.say == "" {
				require.ErrorIs(t, c.err, fault.Corrupt)
				require.NotContains(t, c.err.Error(), "}")
				return
			}
			require.ErrorIs(t, c.err, fault.Unsupported)
			require.ErrorContains(t, c.err, c.say)
		})
	}
}

const byteArrayDesc = "\x72\x00\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00\x78\x70"

func TestReadRefuses(t *testing.T) {
	key := func(old, new string) error { return readKey(replace(t, keyStream, old, new)) }
	sealed := func(old, new string) error { return readSealed(replace(t, sealedStream, old, new)) }
	text := func(body string) error { return readString(javaobjtest.Header + body) }
	const field = "\x74\x00\x03AES"
	for name, err := range map[string]error{
		"nothing":                    readKey(""),
		"magic alone":                readKey("\xac\xed"),
		"header alone":               readKey(javaobjtest.Header),
		"another magic":              key("\xac\xed", "\xac\xee"),
		"another version":            key("\x00\x05", "\x00\x06"),
		"trailing byte, key":         readKey(keyStream + "\x00"),
		"trailing byte, sealed":      readSealed(sealedStream + "\x70"),
		"trailing byte, string":      readString(stringStream + "\n"),
		"two objects":                readKey(keyStream + keyStream[4:]),
		"null for an object":         readKey(javaobjtest.Header + "\x70"),
		"null for a string":          text("\x70"),
		"a bare class":               readKey(javaobjtest.Header + "\x76" + keyStream[5:70]),
		"a bare class descriptor":    readKey(javaobjtest.Header + keyStream[5:]),
		"block data":                 text("\x77\x02hi"),
		"block data before":          text("\x77\x02hi\x74\x00\x01x"),
		"long block data":            text("\x7a\x00\x00\x00\x01x"),
		"a reset":                    text("\x79\x74\x00\x01x"),
		"an exception":               text("\x7b\x73"),
		"a proxy":                    key("\x73\x72\x00\x1f", "\x73\x7d\x00\x1f"),
		"an unknown tag":             text("\x7f"),
		"no tag":                     text("x"),
		"null for a class":           readKey(javaobjtest.Header + "\x73\x70"),
		"another serialVersionUID":   key("\x61\x4d\x02", "\x61\x4e\x02"),
		"externalizable":             key("\x61\x4d\x02", "\x61\x4d\x04"),
		"externalizable, block mode": key("\x61\x4d\x02", "\x61\x4d\x0c"),
		"its own writeObject":        key("\x61\x4d\x02", "\x61\x4d\x03"),
		"an enum":                    key("\x61\x4d\x02", "\x61\x4d\x12"),
		"not serializable":           key("\x61\x4d\x02", "\x61\x4d\x00"),
		"a field less":               key("\x4d\x02\x00\x02", "\x4d\x02\x00\x01"),
		"a field more":               key("\x4d\x02\x00\x02", "\x4d\x02\x00\x03"),
		"65535 fields":               key("\x4d\x02\x00\x02", "\x4d\x02\xff\xff"),
		"another field":              key("algorithm", "algorithn"),
		"a primitive field":          key("L\x00\x09", "I\x00\x09"),
		"another type of field":      key("[B\x78\x70", "[C\x78\x70"),
		"null for a type":            key("\x74\x00\x02[B\x78\x70", "\x70\x78\x70"),
		"an annotation":              key("[B\x78\x70", "[B\x77\x01x\x78\x70"),
		"a superclass":               key("[B\x78\x70", "[B\x78\x72\x00\x01X"),
		"itself as its superclass":   key("[B\x78\x70", "[B\x78\x71\x00\x7e\x00\x00"),
		"null for the algorithm":     key(field, "\x70"),
		"null for the key": key("\x75"+byteArrayDesc+"\x00\x00\x00\x100123456789abcdef",
			"\x70"),
		"an empty key":             key("\x00\x00\x00\x100123456789abcdef", "\x00\x00\x00\x00"),
		"an array of another type": key("[B\xac", "[C\xac"),
		"an array's flags":         key("\x54\xe0\x02", "\x54\xe0\x03"),
		"an array for a string":    key(field, "\x75"+byteArrayDesc+"\x00\x00\x00\x00"),
		"an object for a string":   key(field, keyStream[4:]),
		"a string for an array":    sealed("\x75\x71\x00\x7e\x00\x04\x00\x00\x00\x100123456789abcdef", field),
		"null for the content": sealed("\x75\x71\x00\x7e\x00\x04\x00\x00\x00\x100123456789abcdef",
			"\x70"),
		"null for the transformation": sealed("\x74\x00\x14AES/CBC/PKCS5Padding",
			"\x70"),
		"null for the parameters' algorithm": sealed(field, "\x70"),

		"a reference forward":           key(field, "\x71\x00\x7e\x00\x04"),
		"a reference far forward":       key(field, "\x71\x7f\xff\xff\xff"),
		"a reference below the first":   key(field, "\x71\x00\x7d\xff\xff"),
		"a negative reference":          key(field, "\x71\xff\xff\xff\xff"),
		"a reference to the object":     key(field, "\x71\x00\x7e\x00\x03"),
		"a reference to a class":        key(field, "\x71\x00\x7e\x00\x00"),
		"a reference to its own class":  readKey(javaobjtest.Header + "\x73\x71\x00\x7e\x00\x00"),
		"a reference at the beginning":  text("\x71\x00\x7e\x00\x00"),
		"a class that is a string":      sealed("\x75\x71\x00\x7e\x00\x04", "\x75\x71\x00\x7e\x00\x01"),
		"a class that is another":       sealed("\x75\x71\x00\x7e\x00\x04", "\x75\x71\x00\x7e\x00\x00"),
		"an array that is a string":     sealed("\x75\x71\x00\x7e\x00\x04\x00\x00\x00\x100123456789abcdef", "\x71\x00\x7e\x00\x01"),
		"an array that is the object":   sealed("\x75\x71\x00\x7e\x00\x04\x00\x00\x00\x100123456789abcdef", "\x71\x00\x7e\x00\x03"),
		"a type that is the class":      sealed("\x71\x00\x7e\x00\x01L", "\x71\x00\x7e\x00\x00L"),
		"a type that does not come yet": sealed("\x71\x00\x7e\x00\x01L", "\x71\x00\x7e\x00\x02L"),
	} {
		require.ErrorIs(t, err, fault.Corrupt, name)
	}
}

// TestReadNested checks that nested objects are refused without recursion.
func TestReadNested(t *testing.T) {
	deep := strings.Repeat(keyStream[4:strings.Index(keyStream, "\x74\x00\x03AES")], 20_000)
	require.ErrorIs(t, readKey(javaobjtest.Header+deep), fault.Corrupt)
	supers := strings.Repeat("\x72\x00\x01X\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x78", 50_000)
	require.ErrorIs(t, readKey(javaobjtest.Header+"\x73"+supers), fault.Unsupported)
}

func TestReadHugeLengths(t *testing.T) {
	at := len(keyStream) - 20
	cases := map[string]func() error{}
	for name, length := range map[string]string{"negative": "\xff\xff\xff\xff",
		"minimum": "\x80\x00\x00\x00", "maximum": "\x7f\xff\xff\xff",
		"one more than the bytes": "\x00\x00\x00\x11"} {
		stream := keyStream[:at] + length + keyStream[at+4:]
		cases["array, "+name] = func() error { return readKey(stream) }
	}
	for name, length := range map[string]string{
		"negative": "\xff\xff\xff\xff\xff\xff\xff\xff", "2^63": "\x80\x00\x00\x00\x00\x00\x00\x00",
		"2^63-1": "\x7f\xff\xff\xff\xff\xff\xff\xff",
		"2^32":   "\x00\x00\x00\x01\x00\x00\x00\x00", "2^31-1": "\x00\x00\x00\x00\x7f\xff\xff\xff",
		"one more than the bytes": "\x00\x00\x00\x00\x00\x00\x00\x07",
	} {
		stream := javaobjtest.Header + "\x7c" + length + "secret"
		cases["string, "+name] = func() error { return readString(stream) }
	}
	cases["short string"] = func() error {
		return readString(javaobjtest.Header +
			"\x74\xff\xffsecret")
	}
	for name, read := range cases {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := read()
			runtime.ReadMemStats(&after)
			require.ErrorIs(t, err, fault.Corrupt)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<10))
		})
	}
}

func TestReadTruncated(t *testing.T) {
	for n := range len(keyStream) {
		require.ErrorIs(t, readKey(keyStream[:n]), fault.Corrupt)
	}
	for n := range len(sealedStream) {
		require.ErrorIs(t, readSealed(sealedStream[:n]), fault.Corrupt)
	}
	for n := range len(stringStream) {
		require.ErrorIs(t, readString(stringStream[:n]), fault.Corrupt)
	}
}

// TestReadChangedByte changes every byte: changes of the format are refused, and
// changes of the contents are read.
func TestReadChangedByte(t *testing.T) {
	want, err := javaobj.ReadSealed([]byte(sealedStream))
	require.NoError(t, err)
	contents := 0
	for i := range len(sealedStream) {
		read := 0
		for flip := 1; flip < 256; flip++ {
			stream := []byte(sealedStream)
			stream[i] ^= byte(flip)
			got, err := javaobj.ReadSealed(stream)
			if err == nil {
				require.NotEqual(t, want, got)
				read++
			}
		}
		if read > 0 {
			contents++
		}
	}
	const parameters, content, algorithms = 18, 16, 3 + 20
	require.Equal(t, parameters+content+algorithms, contents)
}

func replace(t *testing.T, s, old, new string) string {
	t.Helper()
	require.Equal(t, 1, strings.Count(s, old), "%q", old)
	return strings.Replace(s, old, new, 1)
}

// shift increments the back references of a sealed object after a string that is
// written in the descriptor of the second field.
func shift(t *testing.T, s string) string {
	t.Helper()
	s = replace(t, s, "\x71\x00\x7e\x00\x02", "\x71\x00\x7e\x00\x03")
	return replace(t, s, "\x71\x00\x7e\x00\x04", "\x71\x00\x7e\x00\x05")
}
