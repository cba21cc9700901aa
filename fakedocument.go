package secretref

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/seed74218947/secretref/internal/backend"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// compose returns the document from which each of values can be extracted: for
// Vault by key, else by pointer. The empty pointer is the whole document.
func compose(kind ref.Kind, values map[string]string) (backend.Document, error) {
	whole, hasWhole := values[""]
	if hasWhole && len(values) == 1 {
		return backend.Document{Text: whole}, nil
	}
	var root any
	if hasWhole {
		decoder := json.NewDecoder(strings.NewReader(whole))
		decoder.UseNumber()
		if decoder.Decode(&root) != nil {
			return backend.Document{Text: whole}, nil // no pointer leads into it
		}
	}
	for _, at := range slices.Sorted(maps.Keys(values)) {
		text := values[at]
		switch {
		case at == "":
			continue
		case !utf8.ValidString(text):
			return backend.Document{}, fault.New(fault.Unsupported,
				"the Fake has a secret that is not UTF-8, which JSON cannot hold")
		case kind == ref.Vault:
			root = insert(root, []string{at}, text)
		default:
			root = insert(root, slices.Collect(Pointer(at).Tokens()), text)
		}
	}
	document, err := json.Marshal(root)
	if err != nil {
		return backend.Document{}, fault.New(fault.Unsupported,
			"the Fake cannot make a JSON document of its secrets")
	}
	return backend.Document{Text: string(document)}, nil
}

// insert returns node with text at the place that tokens lead to.
func insert(node any, tokens []string, text string) any {
	if len(tokens) == 0 {
		return text
	}
	if list, ok := node.([]any); ok {
		if i, err := strconv.Atoi(tokens[0]); err == nil && 0 <= i && i < len(list) {
			list[i] = insert(list[i], tokens[1:], text)
			return list
		}
	}
	object, ok := node.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	object[tokens[0]] = insert(object[tokens[0]], tokens[1:], text)
	return object
}
