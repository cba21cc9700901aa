package secretref

import (
	"errors"
	"fmt"
	"iter"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/jsonptr"
)

// A Pointer is a JSON Pointer (RFC 6901): the path to one value in a JSON document,
// for example "/db/password". The empty Pointer refers to the whole document.
//
// [ParsePointer] returns only valid Pointers. A Pointer that was converted from a
// string is checked by Lookup and LookupScalar. Compare Pointers with ==.
type Pointer string

// ParsePointer checks the syntax of RFC 6901 §3: the empty string, or a sequence of
// tokens in valid UTF-8, each preceded by a slash. In a token "~" is written as "~0"
// and "/" as "~1". The URI fragment form of §6 ("#/a") is not accepted. The error is
// [ErrSyntax] and suggests a correction.
func ParsePointer(s string) (Pointer, error) {
	if err := jsonptr.ValidPointer(s); err != nil {
		return "", fmt.Errorf("secretref: pointer %q: %w", s, err)
	}
	return Pointer(s), nil
}

// Tokens returns the reference tokens of p, the outermost first, unescaped (RFC 6901
// §4). The empty Pointer and an invalid one have no tokens. "/" has one empty token.
func (p Pointer) Tokens() iter.Seq[string] {
	if jsonptr.ValidPointer(string(p)) != nil {
		return func(func(string) bool) {}
	}
	return jsonptr.Tokens(string(p))
}

// Lookup returns the JSON text of the value at p in doc, exactly as it is written
// there, without surrounding white space. The result is a part of doc and shares its
// memory. Lookup does not allocate.
//
// Lookup validates the whole document, not only the path to the value. It must be one
// JSON value (RFC 8259) in UTF-8 without a byte order mark, without unpaired
// surrogate escapes, and nested at most 10 000 levels deep. Otherwise the error
// matches both [ErrSyntax] and [ErrPointer]. If p is invalid, the error is
// [ErrSyntax].
//
// Member names are compared byte by byte after unescaping, without normalization. If
// several members of an object have the same name, the last one counts. Array indices
// have no leading zeros and no sign; "-" never leads to a value. If p does not lead to
// a value, the error is [ErrPointer] and names the token.
//
// Errors never contain text of doc.
func (p Pointer) Lookup(doc []byte) ([]byte, error) {
	text, err := jsonptr.Lookup(doc, string(p))
	if err != nil {
		return nil, p.withPointer(err)
	}
	return text, nil
}

// LookupScalar returns the value at p in doc as text: a string unescaped, a number
// exactly as it is written (1e400 and 0.50 stay so), true or false. For null, an
// object or an array, which have no obvious text, the error is [ErrPointer]. In all
// other respects it is like [Pointer.Lookup], but the result does not share memory
// with doc.
func (p Pointer) LookupScalar(doc []byte) (string, error) {
	text, err := jsonptr.LookupScalar(doc, string(p))
	if err != nil {
		return "", p.withPointer(err)
	}
	return text, nil
}

// withPointer adds the pointer to err, and ErrPointer to a syntax error of the
// document.
func (p Pointer) withPointer(err error) error {
	if errors.Is(err, fault.Syntax) && jsonptr.ValidPointer(string(p)) == nil {
		why := fault.New(fault.Pointer, "the document has a %s", err).WithCause(err)
		return fmt.Errorf("secretref: pointer %q: %w", string(p), why)
	}
	return fmt.Errorf("secretref: pointer %q: %w", string(p), err)
}
