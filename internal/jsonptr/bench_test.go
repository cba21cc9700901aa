package jsonptr_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/jsonptr"
)

// benchDoc is a document whose target is its last member, so that every parser has to
// read all of it.
type benchDoc struct {
	name    string
	doc     []byte
	pointer string
}

func benchDocs() []benchDoc {
	return []benchDoc{
		{"100B", small(), "/password"},
		{"4KiB", structured(4 << 10), "/db/password"},
		{"64KiB-dense", dense(64 << 10), "/password"},
		{"64KiB-blob", blob(60 << 10), "/password"},
	}
}

const benchWant = "mySecretPassword"

// small returns a secret in the form of the AWS console.
func small() []byte {
	return []byte(`{"username":"dbuser","engine":"postgres","host":"db.example.com","port":5432,"password":"` + benchWant + `"}`)
}

// structured returns a secret with the settings of many services.
func structured(size int) []byte {
	var b strings.Builder
	b.WriteString("{")
	for n := 0; b.Len() < size-80; n++ {
		fmt.Fprintf(&b,
			`"service-%02d":{"url":"https://service-%02d.example.com/api","user":"svc%02d","token":"tok-%032x","port":%d},`, n, n, n, n*7919, 8000+n)
	}
	b.WriteString(`"db":{"user":"db","password":"` + benchWant + `"}}`)
	return []byte(b.String())
}

// dense returns many small members, numbers, literals and containers.
func dense(size int) []byte {
	var b strings.Builder
	b.WriteString("{")
	for n := 0; b.Len() < size-120; n++ {
		fmt.Fprintf(&b,
			`"k%d":{"id":%d,"ratio":%d.%d,"on":%t,"tags":["a%d","b",null],"at":[%d,%d,{"x":-1}]},`, n, n, n,
			n%100, n%2 == 0, n, n%7, n%11)
	}
	b.WriteString(`"password":"` + benchWant + `"}`)
	return []byte(b.String())
}

// blob returns one long string, such as a certificate store, before the target.
func blob(size int) []byte {
	return []byte(`{"keystore":"` + strings.Repeat("MIIKDAIBAzCCCcYGCSqGSIb3DQEHAaCC", size/32) +
		`","password":"` + benchWant + `"}`)
}

func BenchmarkLookupScalar(b *testing.B) {
	for _, d := range benchDocs() {
		b.Run(d.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(d.doc)))
			for b.Loop() {
				if got, err := jsonptr.LookupScalar(d.doc, d.pointer); err != nil || got != benchWant {
					b.Fatal(got, err)
				}
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, d := range benchDocs() {
		b.Run(d.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(d.doc)))
			for b.Loop() {
				if _, err := jsonptr.Lookup(d.doc, d.pointer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEncodingJSON measures the common alternative: decode into any, then walk.
func BenchmarkEncodingJSON(b *testing.B) {
	for _, d := range benchDocs() {
		b.Run(d.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(d.doc)))
			for b.Loop() {
				if got, err := unmarshalAndWalk(d.doc, d.pointer); err != nil || got != benchWant {
					b.Fatal(got, err)
				}
			}
		})
	}
}

func unmarshalAndWalk(doc []byte, pointer string) (string, error) {
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		return "", err
	}
	for _, token := range strings.Split(pointer, "/")[1:] {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch in := v.(type) {
		case map[string]any:
			v = in[token]
		case []any:
			n, err := strconv.Atoi(token)
			if err != nil || n < 0 || n >= len(in) {
				return "", fmt.Errorf("no element %q", token)
			}
			v = in[n]
		}
	}
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("not a string")
	}
	return s, nil
}

func TestBenchmarkDocuments(t *testing.T) {
	for i, want := range []int{100, 4 << 10, 64 << 10, 60 << 10} {
		d := benchDocs()[i]
		require.InEpsilon(t, want, len(d.doc), 0.1, d.name)
		require.NoError(t, jsonptr.Valid(d.doc))
	}
}
