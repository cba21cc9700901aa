package fakevault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// numberOf converts v, of a request's body, to an integer, or 0. Vault also accepts
// numbers as text.
func numberOf(v any) int {
	n, _ := strconv.Atoi(fmt.Sprint(v))
	return n
}

// boolOf converts v to a boolean, or returns other if v is not one.
func boolOf(v any, other bool) bool {
	if b, err := strconv.ParseBool(fmt.Sprint(v)); err == nil {
		return b
	}
	return other
}

// stringsOf returns the strings in v: a list, or one text with commas in it.
func stringsOf(v any) []string {
	var texts []string
	switch v := v.(type) {
	case string:
		for text := range strings.SplitSeq(v, ",") {
			if text = strings.TrimSpace(text); text != "" {
				texts = append(texts, text)
			}
		}
	case []any:
		for _, text := range v {
			texts = append(texts, fmt.Sprint(text))
		}
	}
	return texts
}

// duplicate returns the first name that an object in a JSON text has twice.
// The text may end early, but must be valid up to there.
func duplicate(text []byte) (name string, found bool) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	var open []map[string]bool // the names so far; nil for an array
	named := false             // whether the last token was a name
	for {
		token, err := decoder.Token()
		if err != nil {
			return "", false
		}
		var within map[string]bool
		if len(open) > 0 {
			within = open[len(open)-1]
		}
		text, isText := token.(string)
		switch {
		case token == json.Delim('}'), token == json.Delim(']'):
			open, named = open[:len(open)-1], false
			continue
		case within != nil && isText && !named:
			if within[text] {
				return text, true
			}
			within[text], named = true, true
			continue
		case token == json.Delim('{'):
			open = append(open, map[string]bool{})
		case token == json.Delim('['):
			open = append(open, nil)
		}
		named = false
	}
}
