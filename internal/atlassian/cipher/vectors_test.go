package cipher_test

import (
	"crypto/fips140"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/cipher"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/test/vectors"
)

// object returns a value from alternating names and values.
func object(t testing.TB, pairs ...string) string {
	t.Helper()
	var members []string
	for i, s := range pairs {
		text, err := json.Marshal(s)
		require.NoError(t, err)
		if i%2 == 0 {
			members = append(members, string(text)+":")
		} else {
			members[len(members)-1] += string(text)
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

// needsDES skips a test of an algorithm that Go refuses in FIPS 140 mode.
func needsDES(t testing.TB, algorithm string) {
	if fips140.Enforced() && !strings.HasPrefix(strings.ToUpper(algorithm), "AES") {
		t.Skip("DES is not allowed in FIPS 140-only mode")
	}
}

func TestAlgorithmVectors(t *testing.T) {
	for _, v := range vectors.LoadSealed(t) {
		t.Run(v.ID, func(t *testing.T) {
			needsDES(t, v.Algorithm)
			sealed, key := vectors.SealedPaths(t, v.ID)
			values := []string{
				object(t, "sealedObjectFilePath", sealed, "keyFilePath", key),
				object(t, "sealedObjectFilePath", filepath.Base(sealed), "keyFilePath", filepath.Base(key),
					"algorithm", v.Algorithm),
				"{}",
			}
			if v.Inline != nil {
				values = append(values, object(t, "serializedSealedObject", *v.Inline, "keyFilePath", key),
					`{ENC}{"keyFilePath":"`+filepath.Base(key)+`","serializedSealedObject":"`+
						strings.ReplaceAll(*v.Inline, "=", `\u003d`)+`"}`,
					object(t, "serializedSealedObject", strings.TrimRight(*v.Inline, "=")))
			}
			a := cipher.Algorithm{Dir: filepath.Dir(sealed), Getenv: func(name string) string {
				return map[string]string{
					"com_atlassian_db_config_password_ciphers_algorithm_javax_crypto_SealedObject":       filepath.Base(sealed),
					"com_atlassian_db_config_password_ciphers_algorithm_javax_crypto_spec_SecretKeySpec": key,
				}[name]
			}}
			for _, value := range values {
				got, err := a.Open(value)
				if v.ID == "04-AES-128-lone-surrogate" { // not representable in a Go string
					require.ErrorIs(t, err, fault.Corrupt)
					require.ErrorContains(t, err, "unpaired surrogate")
					require.Empty(t, got)
					continue
				}
				require.NoError(t, err)
				units := utf16.Encode([]rune(got))
				require.Len(t, units, v.Units)
				if v.Plaintext != nil {
					require.Equal(t, *v.Plaintext, got)
				}
				digest := sha256.New()
				for _, u := range units {
					digest.Write([]byte{byte(u >> 8), byte(u)})
				}
				require.Equal(t, v.SHA256, hex.EncodeToString(digest.Sum(nil)))
			}
		})
	}
}

func TestAlgorithmRefusedVectors(t *testing.T) {
	good, goodKey := vectors.SealedPaths(t, "00-AES-128-ascii")
	path := func(name string) string { return filepath.Join(vectors.SealedDir(t), name) }
	cases := map[string]struct {
		sealed, key string
		kind        error
		says        string
	}{
		"GCM": {path("neg-gcm.SealedObject"), path("neg-gcm.SecretKeySpec"),
			fault.Unsupported, "AES/GCM/NoPadding"},
		"not a string inside": {path("neg-notstring.SealedObject"), path("neg-notstring.SecretKeySpec"),
			fault.Unsupported, "not a string"},
		"a map for a key": {good, path("neg-hashmap.SecretKeySpec"), fault.Unsupported,
			"java.util.HashMap"},
		"a string for a sealed": {path("neg-plainstring.SealedObject"), goodKey, fault.Unsupported,
			"java.lang.String"},
		"swapped":      {goodKey, good, fault.Unsupported, "javax.crypto.spec.SecretKeySpec"},
		"not a stream": {path("index.json"), goodKey, fault.Corrupt, "AC ED"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := cipher.Algorithm{}.Open(object(t, "sealedObjectFilePath", c.sealed,
				"keyFilePath", c.key))
			require.ErrorIs(t, err, c.kind)
			require.ErrorContains(t, err, c.says)
			require.Empty(t, got)
		})
	}
	found, err := filepath.Glob(path("neg-*"))
	require.NoError(t, err)
	require.Len(t, found, 6, "a negative vector that no case has")
}

// TestAlgorithmOtherKeys checks that every other key fails, with one text.
func TestAlgorithmOtherKeys(t *testing.T) {
	all := vectors.LoadSealed(t)
	dir := vectors.SealedDir(t)
	for _, object1 := range all {
		for _, other := range all {
			if other.ID == object1.ID {
				continue
			}
			got, err := cipher.Algorithm{Dir: dir}.Open(object(t,
				"sealedObjectFilePath", object1.ID+".SealedObject", "keyFilePath", other.ID+".SecretKeySpec"))
			require.Empty(t, got)
			if fips140.Enforced() && object1.KeyAlgorithm != "AES" &&
				object1.KeyAlgorithm == other.KeyAlgorithm {
				require.ErrorIs(t, err, fault.Unsupported)
				continue
			}
			require.ErrorIs(t, err, fault.Corrupt)
			require.ErrorContains(t, err, "pair")
		}
	}
}

func TestAlgorithmFIPS(t *testing.T) {
	if !fips140.Enforced() {
		t.Skip("not in FIPS 140-only mode")
	}
	for _, v := range vectors.LoadSealed(t) {
		if v.KeyAlgorithm == "AES" {
			continue
		}
		_, err := cipher.Algorithm{Dir: vectors.SealedDir(t)}.Open(object(t,
			"sealedObjectFilePath", v.ID+".SealedObject", "keyFilePath", v.ID+".SecretKeySpec"))
		require.ErrorIs(t, err, fault.Unsupported)
		require.ErrorContains(t, err, "FIPS")
	}
}

func TestVectorsHaveFiles(t *testing.T) {
	entries, err := os.ReadDir(vectors.SealedDir(t))
	require.NoError(t, err)
	require.Len(t, entries, 2*len(vectors.LoadSealed(t))+6+1)
}
