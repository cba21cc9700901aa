// Package vectors loads the conformance vectors of testdata/vectors for tests. A
// missing or unknown field fails the test, since vectors that are not understood
// prove nothing.
package vectors

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Pointer is a document, a JSON pointer, and the JSON texts that are acceptable
// results; "ERROR" means that the lookup fails. There is more than one result only
// if Info is set.
type Pointer struct {
	Group   string   `json:"group"`
	Name    string   `json:"name"`
	Doc     []byte   `json:"doc_b64"`
	Pointer string   `json:"pointer"`
	Want    []string `json:"want"`
	Info    bool     `json:"info"`
}

// Properties is a .properties file and the result of reading it with a JDK in either
// encoding: a map, or the text of an exception.
type Properties struct {
	Name        string             `json:"name"`
	Input       []byte             `json:"input_b64"`
	Latin1      *map[string]string `json:"java_latin1,omitempty"`
	Latin1Error string             `json:"java_latin1_error,omitempty"`
	UTF8        *map[string]string `json:"java_utf8,omitempty"`
	UTF8Error   string             `json:"java_utf8_error,omitempty"`
}

// XML is an XML file and the list that each of five Java readers produces, or the
// text of its exception. For kind "dbconfig" the list has "jdbc-datasource/<text>" for
// every password element, for kind "confluence" it has "<name>=<text>" for every
// property with the name of the password.
type XML struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Input []byte `json:"input_b64"`

	GetText           *[]string `json:"dom4j_getText,omitempty"`
	GetTextError      string    `json:"dom4j_getText_error,omitempty"`
	GetTextTrim       *[]string `json:"dom4j_getTextTrim,omitempty"`
	GetTextTrimError  string    `json:"dom4j_getTextTrim_error,omitempty"`
	DOM               *[]string `json:"jdk_dom,omitempty"`
	DOMError          string    `json:"jdk_dom_error,omitempty"`
	DOMNS             *[]string `json:"jdk_dom_ns,omitempty"`
	DOMNSError        string    `json:"jdk_dom_ns_error,omitempty"`
	DOMNoDoctype      *[]string `json:"jdk_dom_no_doctype,omitempty"`
	DOMNoDoctypeError string    `json:"jdk_dom_no_doctype_error,omitempty"`
}

// LoadPointer returns the vectors of JSON pointers.
func LoadPointer(tb testing.TB) []Pointer { return load[Pointer](tb, "jsonpointer.json") }

// LoadProperties returns the vectors of .properties files.
func LoadProperties(tb testing.TB) []Properties { return load[Properties](tb, "properties.json") }

// LoadXML returns the vectors of XML files.
func LoadXML(tb testing.TB) []XML { return load[XML](tb, "xml.json") }

func load[T any](tb testing.TB, file string) []T {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(root(tb), "testdata", "vectors", file))
	require.NoError(tb, err)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var vectors []T
	require.NoError(tb, d.Decode(&vectors))
	var rows []map[string]json.RawMessage
	require.NoError(tb, json.Unmarshal(text, &rows))
	require.NotEmpty(tb, rows)
	for i, row := range rows {
		requireFields(tb, reflect.TypeFor[T](), row, i)
	}
	return vectors
}

// requireFields requires every field, and exactly one of each optional pair "x" and
// "x_error".
func requireFields(tb testing.TB, t reflect.Type, row map[string]json.RawMessage, i int) {
	tb.Helper()
	for f := range t.NumField() {
		name, optional := strings.CutSuffix(t.Field(f).Tag.Get("json"), ",omitempty")
		_, there := row[name]
		if !optional {
			require.True(tb, there, "row %d has no %s", i, name)
		} else if !strings.HasSuffix(name, "_error") {
			_, failed := row[name+"_error"]
			require.NotEqual(tb, there, failed, "row %d has neither %s nor its error, or both", i, name)
		}
	}
}

// root returns the directory of the module's go.mod.
func root(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	require.NoError(tb, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "testdata", "vectors")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		require.NotEqual(tb, parent, dir, "no testdata/vectors above the test")
		dir = parent
	}
}
