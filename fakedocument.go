package secretref

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seed74218947/secretref/internal/jsonptr"
	"github.com/seed74218947/secretref/internal/ref"
)

// escapeToken and unescapeToken convert between a member name and a token of a pointer.
var (
	escapeToken   = strings.NewReplacer("~", "~0", "/", "~1")
	unescapeToken = strings.NewReplacer("~0", "~", "~1", "/")
)

// fakePointer returns the pointer to the value of r in the document of its secret.
func fakePointer(r ref.Reference) string {
	if r.Kind == ref.Vault {
		return "/" + escapeToken.Replace(r.Key)
	}
	return r.Pointer
}

// A fakeConflict is why no document has all values: the value at pointer does not fit
// the value at other. Both pointers are the same if a value fits no document.
type fakeConflict struct{ pointer, other, reason string }

// message returns the text of the panic. r is a reference into the secret.
func (c *fakeConflict) message(r ref.Reference) string {
	at := func(pointer string) string {
		if r.Kind != ref.Vault {
			r.Pointer = pointer
		}
		return r.String()
	}
	if c.pointer == c.other {
		return fmt.Sprintf("secretref: a Fake cannot have %s: "+
			"one secret is one document, and %s", at(c.pointer), c.reason)
	}
	return fmt.Sprintf("secretref: a Fake cannot have both %s and %s: "+
		"one secret is one document, and %s", at(c.other), at(c.pointer), c.reason)
}

// compose returns the document that has each of values at its pointer. The value of the
// empty pointer is the whole document, and no bytes of it change except at the other
// pointers.
func compose(values map[string]Secret) (string, *fakeConflict) {
	document := []byte("{}")
	whole, hasWhole := values[""]
	if hasWhole {
		if len(values) == 1 {
			return whole.Reveal(), nil
		}
		document = []byte(whole.Reveal())
	}
	for _, pointer := range slices.Sorted(maps.Keys(values)) {
		if pointer == "" {
			continue
		}
		text := values[pointer].Reveal()
		if !utf8.ValidString(text) {
			return "", &fakeConflict{pointer, pointer, "the value is not UTF-8"}
		}
		for other := range values {
			if other != "" && strings.HasPrefix(pointer, other+"/") {
				reason := fmt.Sprintf("the value at %q has no members", other)
				return "", &fakeConflict{pointer, other, reason}
			}
		}
		var err error
		if document, err = insert(document, pointer, text); err != nil {
			other := ""
			if !hasWhole {
				other = pointer
			}
			return "", &fakeConflict{pointer, other, err.Error()}
		}
	}
	return string(document), nil
}

// insert returns document with text at pointer. It replaces a scalar, or adds members to
// an object. The rest of document stays byte for byte.
func insert(document []byte, pointer, text string) ([]byte, error) {
	root, err := jsonptr.Lookup(document, "")
	switch {
	case err != nil:
		return nil, fmt.Errorf("the whole secret is not JSON (%s)", err)
	case !isContainer(root):
		return nil, errors.New("the whole secret is not an object or array")
	}
	value := quoteJSON(text)
	found, err := jsonptr.Lookup(document, pointer)
	if err == nil {
		if isContainer(found) {
			return nil, fmt.Errorf("the value at %q is an object or array", pointer)
		}
		start := offset(document, found)
		return slices.Replace(document, start, start+len(found), value...), nil
	}
	for parent := pointer; ; {
		missing := err
		slash := strings.LastIndexByte(parent, '/')
		name := quoteJSON(unescapeToken.Replace(parent[slash+1:]))
		parent = parent[:slash]
		member := slices.Concat(name, []byte(":"), value)
		if found, err = jsonptr.Lookup(document, parent); err != nil {
			value = slices.Concat([]byte("{"), member, []byte("}"))
			continue
		}
		if found[0] != '{' {
			return nil, missing
		}
		before := bytes.TrimRight(found[:len(found)-1], " \t\r\n")
		if len(before) > 1 {
			member = slices.Concat([]byte(","), member)
		}
		document = slices.Insert(document, offset(document, found)+len(before), member...)
		return document, jsonptr.Valid(document) // it may be nested too deep
	}
}

func isContainer(value []byte) bool { return value[0] == '{' || value[0] == '[' }

// offset returns the offset of part in document. Part is a sub-slice of document and is
// not empty.
func offset(document, part []byte) int {
	i := 0
	for &document[i] != &part[0] {
		i++
	}
	return i
}

// quoteJSON returns text as a JSON string.
func quoteJSON(text string) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string can always be encoded
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
