package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/bytedance/sonic"
	"github.com/dolmen-go/jsonptr"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/go-openapi/jsonpointer"
	"github.com/tidwall/gjson"

	"github.com/seed74218947/secretref"
)

// document is JSON whose last member is the target, so that every parser has to read all of it.
type document struct {
	name    string
	text    []byte
	pointer string
}

const target = "mySecretPassword"

var documents = []document{
	{"100B", small(), "/password"},
	{"4KiB", structured(4 << 10), "/db/password"},
	{"64KiB-dense", dense(64 << 10), "/password"},
	{"64KiB-blob", blob(60 << 10), "/password"},
}

// small returns a secret as the AWS console creates it.
func small() []byte {
	return []byte(`{"username":"dbuser","engine":"postgres","host":"db.example.com","port":5432,"password":"` + target + `"}`)
}

// structured returns a secret with the settings of many services.
func structured(size int) []byte {
	var b strings.Builder
	b.WriteString("{")
	for n := 0; b.Len() < size-80; n++ {
		fmt.Fprintf(&b,
			`"service-%02d":{"url":"https://service-%02d.example.com/api","user":"svc%02d","token":"tok-%032x","port":%d},`, n, n, n, n*7919, 8000+n)
	}
	b.WriteString(`"db":{"user":"db","password":"` + target + `"}}`)
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
	b.WriteString(`"password":"` + target + `"}`)
	return []byte(b.String())
}

// blob returns a long string, such as a certificate store, before the target.
func blob(size int) []byte {
	return []byte(`{"keystore":"` + strings.Repeat("MIIKDAIBAzCCCcYGCSqGSIb3DQEHAaCC", size/32) +
		`","password":"` + target + `"}`)
}

// BenchmarkPointer reads one string of an unparsed document.
func BenchmarkPointer(b *testing.B) {
	for _, d := range documents {
		b.Run(d.name, func(b *testing.B) {
			for _, finder := range d.finders(b) {
				b.Run(finder.name, func(b *testing.B) {
					b.ReportAllocs()
					b.SetBytes(int64(len(d.text)))
					for b.Loop() {
						if got, err := finder.find(d.text); err != nil || got != target {
							b.Fatal(got, err)
						}
					}
				})
			}
		})
	}
}

type finder struct {
	name string
	find func(doc []byte) (string, error)
}

// finders returns the contenders. Work that depends on the pointer only is done before.
func (d document) finders(b *testing.B) []finder {
	ours, err := secretref.ParsePointer(d.pointer)
	if err != nil {
		b.Fatal(err)
	}
	openapi, err := jsonpointer.New(d.pointer)
	if err != nil {
		b.Fatal(err)
	}
	tokens := strings.Split(d.pointer, "/")[1:]
	path := strings.Join(tokens, ".")
	var steps []any
	for _, token := range tokens {
		steps = append(steps, token)
	}
	return []finder{
		{"secretref", ours.LookupScalar},
		{"encoding-json", func(doc []byte) (string, error) {
			v, err := decode(doc)
			if err != nil {
				return "", err
			}
			return walk(v, tokens)
		}},
		{"go-openapi", func(doc []byte) (string, error) {
			v, err := decode(doc)
			if err != nil {
				return "", err
			}
			found, _, err := openapi.Get(v)
			return text(found, err)
		}},
		{"dolmen", func(doc []byte) (string, error) {
			v, err := decode(doc)
			if err != nil {
				return "", err
			}
			return text(jsonptr.Get(v, d.pointer))
		}},
		{"jsontext", func(doc []byte) (string, error) { return stream(doc, tokens) }},
		{"gjson", func(doc []byte) (string, error) {
			if !gjson.ValidBytes(doc) {
				return "", errors.New("the document is not valid")
			}
			return gjson.GetBytes(doc, path).String(), nil
		}},
		{"other-sonic", func(doc []byte) (string, error) { // does not read what it skips
			found, err := sonic.Get(doc, steps...)
			if err != nil {
				return "", err
			}
			return found.String()
		}},
		{"other-gjson-Valid", valid(gjson.ValidBytes)},
		{"other-jsontext-IsValid",
			valid(func(doc []byte) bool { return jsontext.Value(doc).IsValid(duplicateNames) })},
		{"limit-memory-scan", valid(func(doc []byte) bool { return bytes.IndexByte(doc, 0) < 0 })},
	}
}

func decode(doc []byte) (v any, err error) { return v, json.Unmarshal(doc, &v) }

// walk follows tokens that need no unescaping.
func walk(v any, tokens []string) (string, error) {
	for _, token := range tokens {
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
	return text(v, nil)
}

func text(v any, err error) (string, error) {
	s, ok := v.(string)
	if err == nil && !ok {
		err = fmt.Errorf("a %T is not a string", v)
	}
	return s, err
}

// duplicateNames keeps jsontext from checking for duplicate names, as the other parsers do not.
var duplicateNames = jsontext.AllowDuplicateNames(true)

// stream follows the tokens in one pass without decoding other members.
func stream(doc []byte, tokens []string) (found string, err error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(doc), duplicateNames)
	if err := find(d, tokens, &found); err != nil {
		return "", err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("text after the document: %w", err)
	}
	return found, nil
}

// find reads one value and stores the string at tokens in it.
func find(d *jsontext.Decoder, tokens []string, found *string) error {
	if len(tokens) == 0 {
		token, err := d.ReadToken()
		if err == nil {
			*found = token.String()
		}
		return err
	}
	if d.PeekKind() != '{' {
		return d.SkipValue()
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadValue()
		if err != nil {
			return err
		}
		if string(name[1:len(name)-1]) == tokens[0] {
			err = find(d, tokens[1:], found)
		} else {
			err = d.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

func valid(is func([]byte) bool) func([]byte) (string, error) {
	return func(doc []byte) (string, error) {
		if !is(doc) {
			return "", errors.New("the document is not valid")
		}
		return target, nil
	}
}
