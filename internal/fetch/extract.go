package fetch

import (
	"errors"
	"fmt"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/jsonptr"
	"github.com/seed74218947/secretref/internal/ref"
)

// extract takes the value that r names out of what its group brought. What was
// looked at before is not warned about once more.
func (p *Fetcher) extract(payload Document, r ref.Reference, before bool) (string, error) {
	if payload.Values != nil {
		if text, ok := payload.Values[r.Pointer+r.Key]; ok {
			return text, nil
		}
		if text, ok := payload.Later(r.Pointer + r.Key); ok {
			return text, nil
		}
		whole, ok := payload.Values[""]
		if !ok {
			return "", fault.New(fault.Pointer, "the Fake was told of the secret, but not of this value in it")
		}
		payload.Text = whole
	}
	switch r.Kind {
	case ref.AWS:
		if r.Pointer == "" {
			if !before {
				p.warnWhole(r, payload.Text)
			}
			return payload.Text, nil
		}
		return lookup(payload.Text, r.Pointer, fieldPointer)
	case ref.Vault:
		text, err := lookup(payload.Text, "/"+escape.Replace(r.Key), fmt.Sprintf("key %q", r.Key))
		if err != nil && strings.Contains(err.Error(), ": no member ") {
			return "", fault.New(fault.Pointer, "the secret has no key %q", r.Key)
		}
		return text, err
	default:
		return payload.Text, nil
	}
}

const fieldPointer = "secretPointer"

var escape = strings.NewReplacer("~", "~0", "/", "~1")

// lookup is a pointer's scalar, with an error that says what did not lead to it.
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
		return "", fault.New(fault.Pointer, "%s cannot be applied: the secret is not valid JSON (%s)", what, why.Text)
	}
	return "", fault.New(fault.Pointer, "%s: %s", what, why.Text)
}

// warnWhole tells about the two commonest mistakes in a secret that is used
// whole; the value is handed out as it is.
func (p *Fetcher) warnWhole(r ref.Reference, text string) {
	switch {
	case strings.HasPrefix(strings.TrimSpace(text), "{") && jsonptr.Valid([]byte(text)) == nil:
		p.Log.Warn("the whole secret is a JSON object: is the secretPointer missing?", "reference", r.String())
	case strings.HasSuffix(text, "\n"):
		p.Log.Warn("the secret ends in a newline, which is part of the password", "reference", r.String())
	}
}
