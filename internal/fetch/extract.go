package fetch

import (
	"errors"
	"fmt"
	"strings"

	"github.com/seed74218947/secretref/internal/backend"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/jsonptr"
	"github.com/seed74218947/secretref/internal/ref"
)

// extract returns the value that r refers to in document. If seen, the log was
// warned of the document before.
func (f *Fetcher) extract(document backend.Document, r ref.Reference, seen bool) (string, error) {
	switch r.Kind {
	case ref.AWS:
		if r.Pointer == "" {
			if !seen {
				f.warnWhole(r, document.Text)
			}
			return document.Text, nil
		}
		return lookup(document.Text, r.Pointer, fieldPointer)
	case ref.Vault:
		text, err := lookup(document.Text, "/"+jsonptr.EscapeToken(r.Key), fmt.Sprintf("key %q", r.Key))
		if err != nil && strings.Contains(err.Error(), ": no member ") {
			return "", fault.New(fault.Pointer, "the secret has no key %q", r.Key)
		}
		return text, err
	default:
		return document.Text, nil
	}
}

const fieldPointer = "secretPointer"

// lookup returns the scalar that pointer leads to. Errors name it as what.
func lookup(doc, pointer, what string) (string, error) {
	text, err := jsonptr.LookupScalarString(doc, pointer)
	if err == nil {
		return text, nil
	}
	why, ok := errors.AsType[*fault.Error](err)
	switch {
	case !ok:
		return "", fault.New(fault.Pointer, "%s leads nowhere", what)
	case errors.Is(err, fault.Syntax):
		return "", fault.New(fault.Pointer,
			"%s cannot be applied: the secret is not valid JSON (%s)", what, why.Text)
	}
	return "", fault.New(fault.Pointer, "%s: %s", what, why.Text)
}

// warnWhole logs the two commonest mistakes in a secret that is used as a whole.
func (f *Fetcher) warnWhole(r ref.Reference, text string) {
	switch {
	case strings.HasPrefix(strings.TrimSpace(text), "{") && jsonptr.Valid([]byte(text)) == nil:
		f.Log.Warn("the whole secret is a JSON object: is the secretPointer missing?",
			"reference", r.String())
	case strings.HasSuffix(text, "\n"):
		f.Log.Warn("the secret ends in a newline, which is part of the password", "reference", r.String())
	}
}
