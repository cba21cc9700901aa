// Package javaobj reads the three Java serialization streams that Atlassian's cipher
// tool writes for a password: a key ([ReadKey]), an encrypted object
// ([ReadSealed]) and, inside that, a string ([ReadString]).
//
// It implements the part of chapter 6 of the Java Object Serialization
// Specification that a JDK uses for those classes. It is not a general
// deserializer: it supports no other class, does not recurse, and allocates nothing
// for a length before it has the bytes. Everything that a JDK does not write is
// refused, trailing bytes included.
//
// The error for a well-formed stream of another class is fault.Unsupported and
// names the class; any other error is fault.Corrupt. Errors do not contain values of
// fields.
package javaobj

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/seed74218947/secretref/internal/fault"
)

// Key is a javax.crypto.spec.SecretKeySpec. Formatting it does not show its bytes.
type Key struct {
	Algorithm string
	Encoded   []byte
}

// Format implements fmt.Formatter for every verb.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "SecretKeySpec(%q)", k.Algorithm) }

// Sealed is a javax.crypto.SealedObject. EncodedParams is nil and ParamsAlg empty if
// the algorithm has no parameters.
type Sealed struct {
	EncodedParams    []byte // DER
	EncryptedContent []byte
	ParamsAlg        string
	SealAlg          string // the transformation, as passed to the JDK
}

// ReadKey reads a serialized javax.crypto.spec.SecretKeySpec.
func ReadKey(stream []byte) (Key, error) {
	var algorithm text
	var encoded array
	if err := readObject(stream, &secretKeySpec, &algorithm, &encoded); err != nil {
		return Key{}, err
	}
	// The constructor refuses null, and an empty array.
	if algorithm.null || len(encoded.value) == 0 {
		return Key{}, corrupt("the key or its algorithm is null or empty")
	}
	return Key{Algorithm: algorithm.value, Encoded: bytes.Clone(encoded.value)}, nil
}

// ReadSealed reads a serialized javax.crypto.SealedObject.
func ReadSealed(stream []byte) (Sealed, error) {
	var params, content array
	var paramsAlg, sealAlg text
	if err := readObject(stream, &sealedObject, &params, &content, &paramsAlg, &sealAlg); err != nil {
		return Sealed{}, err
	}
	if content.null || sealAlg.null {
		return Sealed{}, corrupt("the encrypted content or its algorithm is null")
	}
	if params.null != paramsAlg.null {
		return Sealed{}, corrupt("only one of the parameters and their algorithm is null")
	}
	return Sealed{
		EncodedParams:    bytes.Clone(params.value),
		EncryptedContent: bytes.Clone(content.value),
		ParamsAlg:        paramsAlg.value,
		SealAlg:          sealAlg.value,
	}, nil
}

// ErrSurrogate is the cause of the error for an unpaired surrogate in a string, which
// UTF-8 cannot represent.
var ErrSurrogate = errors.New("unpaired surrogate")

// ReadString reads a serialized java.lang.String.
func ReadString(stream []byte) (string, error) {
	r := reader{stream: stream}
	if err := r.header(); err != nil {
		return "", err
	}
	if err := r.expect(stringClass); err != nil {
		return "", err
	}
	var s text
	if err := s.read(&r); err != nil {
		return "", err
	}
	if s.null {
		return "", corrupt("it contains null instead of a string")
	}
	return s.value, r.end()
}

// value reads the value of a field.
type value interface{ read(*reader) error }

// readObject reads a stream with one object of a class, and its fields into
// values.
func readObject(stream []byte, c *class, values ...value) error {
	r := reader{stream: stream}
	if err := r.header(); err != nil {
		return err
	}
	if err := r.expect(c.name); err != nil {
		return err
	}
	if err := r.tag(tagObject, "an object"); err != nil {
		return err
	}
	if err := r.classDesc(c); err != nil {
		return err
	}
	r.remember(handle{kind: anObject})
	for _, v := range values {
		if err := v.read(&r); err != nil {
			return err
		}
	}
	return r.end()
}

// array is a byte[] or null. Its value is a slice of the stream.
type array struct {
	value []byte
	null  bool
}

func (a *array) read(r *reader) error {
	switch r.peek() {
	case tagNull:
		r.at++
		a.null = true
		return nil
	case tagReference:
		h, err := r.reference(anArray)
		a.value = h.array
		return err
	}
	if err := r.tag(tagArray, "a byte array"); err != nil {
		return err
	}
	if err := r.classDesc(&byteArray); err != nil {
		return err
	}
	n, err := r.number(4)
	if err != nil {
		return err
	}
	if a.value, err = r.take(n); err != nil {
		return err
	}
	r.remember(handle{kind: anArray, array: a.value})
	return nil
}

// text is a String or null.
type text struct {
	value string
	null  bool
}

func (t *text) read(r *reader) error {
	width := 2
	switch r.peek() {
	case tagNull:
		r.at++
		t.null = true
		return nil
	case tagReference:
		h, err := r.reference(aString)
		t.value = h.text
		return err
	case tagLongString:
		r.at++
		width = 8
	default:
		if err := r.tag(tagString, "a string"); err != nil {
			return err
		}
	}
	var err error
	if t.value, err = r.utf(width); err != nil {
		return err
	}
	r.remember(handle{kind: aString, text: t.value})
	return nil
}

func corrupt(format string, args ...any) error {
	return fault.New(fault.Corrupt, "invalid Java stream: "+format, args...)
}
