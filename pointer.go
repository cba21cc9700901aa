package secretref

import (
	"errors"
	"fmt"
	"iter"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/jsonptr"
)

// Pointer is a JSON Pointer (RFC 6901): the way to one value inside a JSON
// document, such as "/db/password". The empty pointer leads to the document
// itself.
//
// [ParsePointer] returns valid pointers only. One that was made by converting a
// string is checked by Lookup and LookupScalar. Pointers are compared with ==.
type Pointer string

// ParsePointer checks the syntax of RFC 6901 §3: the empty string, or tokens
// that each begin with a slash, in valid UTF-8, where "~" is written "~0" and a
// slash inside a token "~1". The URI fragment form of §6 ("#/a") is not
// accepted. The error is [ErrSyntax] and says how to mend the pointer.
func ParsePointer(s string) (Pointer, error) {
	if err := jsonptr.ValidPointer(s); err != nil {
		return "", fmt.Errorf("secretref: pointer %q: %w", s, err)
	}
	return Pointer(s), nil
}

// Tokens returns the reference tokens of p from the outermost to the innermost,
// unescaped (RFC 6901 §4). The empty pointer has none, "/" has one, which is
// empty. An invalid pointer has none.
func (p Pointer) Tokens() iter.Seq[string] {
	if jsonptr.ValidPointer(string(p)) != nil {
		return func(func(string) bool) {}
	}
	return jsonptr.Tokens(string(p))
}

// Lookup returns the JSON text of the value that p leads to in doc, exactly as
// it is written there and without white space around it. The result is a part
// of doc: it shares its memory and changes with it. Nothing is allocated.
//
// All of doc is validated, also what p does not lead to: it must be one JSON
// value (RFC 8259) in UTF-8 without a byte order mark, without unpaired
// surrogate escapes, nested at most 10 000 deep. Otherwise the error is both
// [ErrSyntax] and [ErrPointer]; when p itself is invalid it is [ErrSyntax].
//
// Names are compared byte by byte after unescaping, with no normalization. Of
// members with the same name the last one counts, also on the way to the value.
// Array indices have no leading zeros and no sign; "-" leads nowhere. When p
// does not lead to a value the error is [ErrPointer] and says at which token.
//
// Errors never hold text from doc.
func (p Pointer) Lookup(doc []byte) ([]byte, error) {
	text, err := jsonptr.Lookup(doc, string(p))
	if err != nil {
		return nil, p.located(err)
	}
	return text, nil
}

// LookupScalar returns the value that p leads to in doc as text: a string
// unescaped, a number exactly as it is written (1e400 and 0.50 stay so), true or
// false. Null, an object and an array have no obvious text: the error is
// [ErrPointer], as it is when there is no value. Everything else is as for
// [Pointer.Lookup], but the result does not share memory with doc.
func (p Pointer) LookupScalar(doc []byte) (string, error) {
	text, err := jsonptr.LookupScalar(doc, string(p))
	if err != nil {
		return "", p.located(err)
	}
	return text, nil
}

// located says what was looked up, and for a syntax error that it is not p's
// own.
func (p Pointer) located(err error) error {
	if errors.Is(err, fault.Syntax) && jsonptr.ValidPointer(string(p)) == nil {
		// No pointer leads anywhere in what is not a document, so that it is both.
		why := fault.New(fault.Pointer, "the document has a %s", err).WithCause(err)
		return fmt.Errorf("secretref: pointer %q: %w", string(p), why)
	}
	return fmt.Errorf("secretref: pointer %q: %w", string(p), err)
}
