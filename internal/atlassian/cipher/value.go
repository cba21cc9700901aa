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

	// Input of the vendor's cipher tool, which some tools copy into the value.
	fieldAlgorithm    = "algorithm"
	fieldAlgorithmKey = "algorithmKey"
	fieldPassword     = "plainTextPassword"
)

// maxValue limits a value, in bytes: the largest sealed object inline, and the
// other members.
const maxValue = maxFile/3*4 + 64<<10

// streamPrefix is the start of a serialized Java object in Base64.
const streamPrefix = "rO0AB"

// value is a parsed value. Members that are absent are empty.
type value struct {
	sealedPath, keyPath, sealed string
	algorithm, algorithmKey     string
}

// member returns the field for a member, or nil if the name is unknown.
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

// parse parses a value without reading any file.
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
		return v, fault.New(fault.Syntax,
			"there are both %q and %q: remove one", fieldSealedPath, fieldSealed)
	case v.sealed != "" && !strings.HasPrefix(v.sealed, streamPrefix):
		return v, fault.New(fault.Syntax,
			"field %q is not a serialized Java object in Base64, which begins with %q", fieldSealed,
			streamPrefix)
	}
	return v, v.checkAlgorithms()
}

// objectOf returns the JSON object in a value.
func objectOf(text string) (string, error) {
	const want = "the class requires a JSON object with " + fieldSealedPath + " and " + fieldKeyPath
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
		return "", fault.New(fault.Syntax,
			want+"; the value is empty (write \"{}\" if both paths are in the environment)")
	case strings.HasPrefix(text, streamPrefix):
		return "", fault.New(fault.Syntax,
			want+"; the value is a sealed object itself, which belongs in the field %q of such an object",
			fieldSealed)
	case text[0] != '{':
		return "", fault.New(fault.Syntax,
			want+"; the value does not begin with \"{\": is it Base64, or the password itself?")
	}
	if err := jsonptr.Valid([]byte(text)); err != nil {
		return "", withSource("the value is not valid JSON", err)
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
			return fault.New(fault.Syntax, "%s appears twice", fieldLabel(name, start))
		case name == fieldPassword:
			return fault.New(fault.Syntax,
				"field %q is input of the cipher tool and has the password in plain text: "+
					"write the value that the tool printed, and change the password", name)
		case target == nil && len(unknown) < 8:
			unknown = append(unknown, unknownFieldText(name, start))
		case target == nil:
		case first != '"':
			return fault.New(fault.Syntax, "field %q must be a string", name)
		default:
			if *target, _, err = jsonptr.String(text, i); err != nil {
				return err
			}
			if strings.TrimSpace(*target) == "" {
				return fault.New(fault.Syntax,
					"field %q is empty: remove it if the path is in the environment", name)
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

// unknownFieldText names an unknown field and the field that was likely meant.
func unknownFieldText(name string, at int) string {
	if better := suggest(name); better != "" {
		return fmt.Sprintf("unknown %s (did you mean %q?)", fieldLabel(name, at), better)
	}
	if !ref.IsCustomField(name) {
		return fmt.Sprintf("field %q belongs to a secret reference, but the cipher class is AlgorithmSecretStore", name)
	}
	return "unknown " + fieldLabel(name, at)
}

// fieldLabel returns the name of a field for a message, or its position if the name
// may be a misplaced password.
func fieldLabel(name string, at int) string {
	safe := name != "" && len(name) <= 64
	for i := range len(name) {
		c := name[i]
		safe = safe && (inAlphabet(c) && c != '/' && c != '+' || c == '_' || c == '-' || c == '.')
	}
	if safe {
		return fmt.Sprintf("field %q", name)
	}
	return fmt.Sprintf("field at byte %d", at)
}

// suggest returns the field that a name most likely stands for, or "".
func suggest(name string) string {
	folded := ref.Fold(name)
	for _, want := range []string{fieldSealedPath, fieldKeyPath, fieldSealed, fieldAlgorithm,
		fieldAlgorithmKey} {
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
