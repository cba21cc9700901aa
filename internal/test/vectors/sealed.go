package vectors

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// Sealed describes a sealed object and its key, which a JDK wrote to the files of
// [SealedPaths], and the plaintext. For a long plaintext there is only a digest.
type Sealed struct {
	ID           string  `json:"id"`
	Algorithm    string  `json:"algorithm"`
	KeyAlgorithm string  `json:"key_algorithm"`
	Key          string  `json:"key_hex"`
	Units        int     `json:"length_utf16"`
	SHA256       string  `json:"sha256_utf16be"`
	Plaintext    *string `json:"plaintext"`
	Inline       *string `json:"serialized_sealed_object_b64"`
}

// LoadSealed returns the vectors of sealed objects.
func LoadSealed(tb testing.TB) []Sealed {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(SealedDir(tb), "index.json"))
	require.NoError(tb, err)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var vectors []Sealed
	require.NoError(tb, d.Decode(&vectors))
	require.NotEmpty(tb, vectors)
	for _, v := range vectors {
		row := reflect.ValueOf(v)
		for i := range row.NumField() {
			if f := row.Type().Field(i); f.Type.Kind() != reflect.Pointer {
				require.False(tb, row.Field(i).IsZero(), "%s has no %s", v.ID, f.Tag.Get("json"))
			}
		}
		require.Equal(tb, v.Plaintext == nil, v.Inline == nil,
			"%s has only one of plaintext and inline object", v.ID)
	}
	return vectors
}

// SealedDir returns the directory of the sealed vectors. In addition to those of the
// index it contains files whose names begin with "neg-", which must fail to open.
func SealedDir(tb testing.TB) string {
	return filepath.Join(root(tb), "testdata", "vectors",
		"sealed")
}

// SealedPaths returns the files of a vector.
func SealedPaths(tb testing.TB, id string) (object, key string) {
	path := filepath.Join(SealedDir(tb), id)
	return path + ".SealedObject", path + ".SecretKeySpec"
}
