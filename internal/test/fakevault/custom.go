package fakevault

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// customOf returns the custom metadata of a secret.
func customOf(given map[string]any) (map[string]string, *failure) {
	const invalid = "custom_metadata validation failed"
	if len(given) > 64 {
		return nil, fail(http.StatusBadRequest, "%s", listed([]string{
			fmt.Sprintf("%s: payload must contain at most 64 keys, provided %d", invalid, len(given))}))
	}
	custom := map[string]string{}
	var wrong []string
	for _, key := range slices.Sorted(maps.Keys(given)) {
		switch value := given[key].(type) {
		case nil:
			custom[key] = ""
		case string:
			custom[key] = value
		case json.Number:
			custom[key] = value.String()
		case bool:
			custom[key] = map[bool]string{false: "0", true: "1"}[value]
		default:
			return nil, notImplemented("custom_metadata that is neither a text, a number nor a boolean")
		}
		if n := len(key); n == 0 || n > 128 {
			wrong = append(wrong,
				fmt.Sprintf("%s: length of key %q is %d but must be 0 < len(key) <= 128", invalid, key, n))
		}
		if n := len(custom[key]); n == 0 || n > 512 {
			wrong = append(wrong,
				fmt.Sprintf("%s: length of value for key %q is %d but must be 0 < len(value) <= 512",
					invalid, key, n))
		}
	}
	if wrong != nil {
		return nil, fail(http.StatusBadRequest, "%s", listed(wrong))
	}
	return custom, nil
}
