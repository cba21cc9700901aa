package cipher

import (
	"fmt"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/jsonptr"
	"github.com/seed74218947/secretref/internal/ref"
)

// The members of a value.
const (
	fieldSealedPath = "sealedObjectFilePath"
	fieldKeyPath    = "keyFilePath"
	fieldSealed     = "serializedSealedObject"

	// What the cipher tool is given, and some tools write back.
	fieldAlgorithm    = "algorithm"
	fieldAlgorithmKey = "algorithmKey"
	fieldPassword     = "plainTextPassword"
)

// maxValue is the size of the longest value, in bytes: the largest sealed
// object inline and room for the rest.
const maxValue = maxFile/3*4 + 64<<10

// streamPrefix is how a serialized Java object begins in Base64.
const streamPrefix = "rO0AB"

// value is a parsed value. Members that are absent are empty.
type value struct {
	sealedPath, keyPath, sealed string
	algorithm, algorithmKey     string
}

// member returns where the value of a member goes, nil if there is none of
// that name.
func (v *value) member(name string) *string {
	switch name {
	case fieldSealedPath:
		return &v.sealedPath
	case fieldKeyPath:
		return &v.keyPath
	case fieldSealed:
		return &v.sealed
	case fieldAlgorithm:
		return &v.algorithm
	case fieldAlgorithmKey:
		return &v.algorithmKey
	}
	return nil
}

// parse reads a value without looking at any file.
func parse(text string) (value, error) {
	var v value
	object, err := objectOf(text)
	if err != nil {
		return v, err
	}
	if err := v.fill(object); err != nil {
		return v, err
	}
	switch {
	case v.sealed != "" && v.sealedPath != "":
		return v, fault.New(fault.Syntax, "there are both %q and %q: which one holds?", fieldSealedPath, fieldSealed)
	case v.sealed != "" && !strings.HasPrefix(v.sealed, streamPrefix):
		return v, fault.New(fault.Syntax, "field %q is not a serialized Java object in Base64, which begins with %q", fieldSealed, streamPrefix)
	}
	return v, v.checkAlgorithms()
}

// objectOf returns the JSON object in a value.
func objectOf(text string) (string, error) {
	const want = "the class wants a JSON object with " + fieldSealedPath + " and " + fieldKeyPath
	text = strings.TrimSpace(text)
	if len(text) > maxValue {
		return "", fault.New(fault.Unsupported, "the value is longer than %d bytes", maxValue)
	}
	if body, ok := ref.CutPrefix(text); ok {
		text = strings.TrimSpace(body)
	}
	switch {
	case ref.IsPlaceholder(text):
		return "", ref.PlaceholderError()
	case text == "":
		return "", fault.New(fault.Syntax, want+"; there is nothing (\"{}\" says that both paths are in the environment)")
	case strings.HasPrefix(text, streamPrefix):
		return "", fault.New(fault.Syntax, want+"; the value is a sealed object itself: it belongs into the field %q of such an object", fieldSealed)
	case text[0] != '{':
		return "", fault.New(fault.Syntax, want+"; the value does not begin with \"{\": is it Base64, or the password itself?")
	}
	if err := jsonptr.Valid([]byte(text)); err != nil {
		return "", located("the value is not valid JSON", err)
	}
	return text, nil
}

// fill sets the members from a valid JSON object.
func (v *value) fill(text string) error {
	seen := make(map[string]bool)
	var unknown []string
	for i := jsonptr.SkipSpace(text, 1); text[i] != '}'; {
		start := i
		name, colon, err := jsonptr.String(text, i)
		if err != nil {
			return err
		}
		i = jsonptr.SkipSpace(text, jsonptr.SkipSpace(text, colon)+1)
		first := text[i]
		end, err := jsonptr.Skip(text, i)
		if err != nil {
			return err
		}
		target := v.member(name)
		switch {
		case seen[name]:
			return fault.New(fault.Syntax, "%s appears twice", called(name, start))
		case name == fieldPassword:
			return fault.New(fault.Syntax, "field %q is what the cipher tool is given, with the password in plain text: "+
				"take the value that the tool printed, and change the password", name)
		case target == nil && len(unknown) < 8:
			unknown = append(unknown, strangerText(name, start))
		case target == nil:
		case first != '"':
			return fault.New(fault.Syntax, "field %q must be a string", name)
		default:
			if *target, _, err = jsonptr.String(text, i); err != nil {
				return err
			}
			if strings.TrimSpace(*target) == "" {
				return fault.New(fault.Syntax, "field %q is empty: leave it out if the path is in the environment", name)
			}
		}
		seen[name] = true
		if i = jsonptr.SkipSpace(text, end); text[i] == ',' {
			i = jsonptr.SkipSpace(text, i+1)
		}
	}
	if unknown != nil {
		return fault.New(fault.Syntax, "%s", strings.Join(unknown, "; "))
	}
	return nil
}

// strangerText names an unknown field and what was likely meant.
func strangerText(name string, at int) string {
	if better := suggest(name); better != "" {
		return fmt.Sprintf("unknown %s (did you mean %q?)", called(name, at), better)
	}
	if !ref.IsCustomField(name) {
		return fmt.Sprintf("field %q belongs to a secret reference: the cipher class, which is that of AlgorithmSecretStore, does not fit the value", name)
	}
	return "unknown " + called(name, at)
}

// called names a field in a message. What does not look like a name may be a
// password that lost its place, and is only pointed at.
func called(name string, at int) string {
	plain := name != "" && len(name) <= 64
	for i := range len(name) {
		c := name[i]
		plain = plain && (inAlphabet(c) && c != '/' && c != '+' || c == '_' || c == '-' || c == '.')
	}
	if plain {
		return fmt.Sprintf("field %q", name)
	}
	return fmt.Sprintf("field at byte %d", at)
}

// suggest returns the field that a name is most likely meant to be, or "".
func suggest(name string) string {
	folded := ref.Fold(name)
	for _, want := range []string{fieldSealedPath, fieldKeyPath, fieldSealed, fieldAlgorithm, fieldAlgorithmKey} {
		if name != want && ref.Near(folded, strings.ToLower(want), 2) {
			return want
		}
	}
	switch folded {
	case "sealedobject", "sealedobjectpath", "sealedobjectfile", "sealedpath", "sealedfilepath":
		return fieldSealedPath
	case "key", "keyfile", "keypath", "secretkeyfilepath", "secretkeyspecfilepath":
		return fieldKeyPath
	case "serializedobject", "serializedsealed", "inlinesealedobject":
		return fieldSealed
	}
	return ""
}
