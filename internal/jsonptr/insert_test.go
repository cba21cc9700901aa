package jsonptr_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/jsonptr"
)

func TestInsert(t *testing.T) {
	for name, c := range map[string]struct{ doc, pointer, text, want string }{
		"replaces a scalar": {`{ "a": 1e2 , "b":"<\u003c" }`, "/a", `x"<`,
			`{ "a": "x\"<" , "b":"<\u003c" }`},
		"replaces an element":  {`["a", null]`, "/1", "x", `["a", "x"]`},
		"adds a member":        {"{\"b\":1 \n}", "/a", "x", "{\"b\":1,\"a\":\"x\" \n}"},
		"adds the first":       {`{ }`, "/a~1b", "x", `{"a/b":"x" }`},
		"adds objects":         {`{}`, "/a/b~0", "x", `{"a":{"b~":"x"}}`},
		"no container":         {`{"a":[]}`, "/a", "x", ""},
		"not through a scalar": {`{"a":1}`, "/a/b", "x", ""},
		"not past the end":     {`["a"]`, "/1", "x", ""},
		"no leading zero":      {`["a"]`, "/00", "x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := jsonptr.Insert([]byte(c.doc), c.pointer, c.text)
			if c.want == "" {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, string(got))
			text, err := jsonptr.LookupScalar(got, c.pointer)
			require.NoError(t, err)
			require.Equal(t, c.text, text)
		})
	}
}

func TestEscapeToken(t *testing.T) {
	require.Equal(t, "a~1b~01", jsonptr.EscapeToken("a/b~1"))
}
