package jsonptr_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/jsonptr"
	"github.com/seed74218947/secretref/internal/test/vectors"
)

const wantError = "ERROR"

func TestLookupVectors(t *testing.T) {
	for _, v := range vectors.LoadPointer(t) {
		t.Run(v.Group+"/"+v.Name, func(t *testing.T) {
			checkAgainstOracle(t, v.Doc, v.Pointer)
			want := v.Want[0] // of several allowed results, refusal comes first and is expected
			got, err := jsonptr.Lookup(v.Doc, v.Pointer)
			if want == wantError {
				require.Error(t, err)
				require.Nil(t, got)
				return
			}
			require.NoError(t, err)
			require.Equal(t, canonical(t, []byte(want)), canonical(t, got))
		})
	}
}

// canonical makes texts comparable that differ in white space or in escapes.
func canonical(t *testing.T, text []byte) string {
	t.Helper()
	var s string
	if json.Unmarshal(text, &s) == nil && text[0] == '"' {
		return s
	}
	var b bytes.Buffer
	require.NoError(t, json.Compact(&b, text))
	return b.String()
}

// suite returns the path of public conformance data next to the project, or skips the
// test.
func suite(t *testing.T, path ...string) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		found := filepath.Join(append([]string{dir, "shared", "suites"}, path...)...)
		if _, err := os.Stat(found); err == nil {
			return found
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Skip("no shared/suites here")
		}
		dir = parent
	}
}

func TestValidJSONTestSuite(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(suite(t, "JSONTestSuite"), "*.json"))
	require.NoError(t, err)
	require.Greater(t, len(files), 300)
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			doc, err := os.ReadFile(file)
			require.NoError(t, err)
			err = jsonptr.Valid(doc)
			switch name[:2] {
			case "y_":
				require.NoError(t, err)
			case "n_":
				require.ErrorIs(t, err, fault.Syntax)
			case "i_":
				if err != nil {
					require.ErrorIs(t, err, fault.Syntax)
				}
			default:
				t.Fatal("neither y_, n_ nor i_")
			}
		})
	}
}

func TestLookupJSONPatchSuite(t *testing.T) {
	ran := 0
	for _, name := range []string{"tests.json", "spec_tests.json"} {
		text, err := os.ReadFile(suite(t, "json-patch-tests", name))
		require.NoError(t, err)
		var cases []struct {
			Comment, Error string
			Doc            json.RawMessage
			Disabled       bool
			Patch          []struct {
				Op    string
				Path  *string
				Value json.RawMessage
			}
		}
		require.NoError(t, json.Unmarshal(text, &cases))
		for _, c := range cases {
			// After another operation the document is not Doc.
			if c.Disabled || len(c.Patch) == 0 || c.Patch[0].Op != "test" || c.Patch[0].Path == nil ||
				c.Patch[0].Value == nil {
				continue
			}
			if len(c.Patch) > 1 && c.Error != "" {
				continue
			}
			for _, op := range c.Patch {
				if op.Op != "test" {
					break
				}
				ran++
				got, err := jsonptr.Lookup(c.Doc, *op.Path)
				holds := err == nil && jsonEqual(got, op.Value)
				assert.Equal(t, c.Error == "", holds, "%s: test %s in %s: got %s, %v", c.Comment, *op.Path,
					c.Doc, got, err)
			}
		}
	}
	require.Greater(t, ran, 20)
}

func jsonEqual(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	return assert.ObjectsAreEqual(x, y)
}

func TestMaxDepth(t *testing.T) {
	nest := func(depth int) []byte {
		return []byte(strings.Repeat("[", depth) + strings.Repeat("]", depth))
	}
	objects := func(depth int) []byte {
		return []byte(strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth))
	}
	for _, depth := range []int{1, 63, 64, 65, 66, 127, 128, 129, jsonptr.MaxDepth - 1,
		jsonptr.MaxDepth} {
		for _, doc := range [][]byte{nest(depth), objects(depth)} {
			require.NoError(t, jsonptr.Valid(doc), depth)
			require.Error(t, jsonptr.Valid(doc[:len(doc)-1]), depth)
			require.Error(t, jsonptr.Valid(append(doc, doc[len(doc)-1])), depth)
		}
	}
	over := jsonptr.MaxDepth + 1
	for _, doc := range [][]byte{nest(over), objects(over), []byte(strings.Repeat("[", 100_000)),
		bytes.Repeat([]byte(`{"a":[`), 50_000)} {
		for _, pointer := range []string{"", "/x", strings.Repeat("/0", over), strings.Repeat("/a", over),
			strings.Repeat("/a/0", 50_000)} {
			_, err := jsonptr.Lookup(doc, pointer)
			require.ErrorIs(t, err, fault.Syntax)
			require.ErrorContains(t, err, "nested more than 10000 deep at byte ")
		}
	}
	got, err := jsonptr.LookupScalar(objects(jsonptr.MaxDepth), strings.Repeat("/a", jsonptr.MaxDepth))
	require.NoError(t, err)
	require.Equal(t, "1", got)
}
