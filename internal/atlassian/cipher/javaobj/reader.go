package javaobj

import (
	"encoding/binary"

	"github.com/seed74218947/secretref/internal/fault"
)

// The tags of section 6.4.2.
const (
	tagNull         = 0x70
	tagReference    = 0x71
	tagClassDesc    = 0x72
	tagObject       = 0x73
	tagString       = 0x74
	tagArray        = 0x75
	tagClass        = 0x76
	tagEndBlockData = 0x78
	tagLongString   = 0x7c
	tagEnum         = 0x7e
)

// tagNames describes the element after each tag, from 0x70.
var tagNames = [...]string{"null", "a back reference", "a class descriptor", "an object",
	"a string", "an array", "a class", "block data",
	"the end of block data", "a reset", "long block data", "an exception", "a long string",
	"a proxy class", "an enum constant"}

// header is the magic number and the version.
const header = "\xac\xed\x00\x05"

// firstHandle is the handle of the first element of a stream; later ones count up
// from it.
const firstHandle = 0x7e0000

// reader reads a stream from its start.
type reader struct {
	stream  []byte
	at      int
	handles []handle
}

// handle is an element that back references can name.
type handle struct {
	kind  elementKind
	class *class
	text  string
	array []byte
}

type elementKind uint8

const (
	anObject elementKind = iota
	aClass
	aString
	anArray
)

func (e elementKind) String() string {
	return [...]string{"an object", "a class descriptor", "a string", "an array"}[e]
}

func (r *reader) header() error {
	if len(r.stream) < len(header) || string(r.stream[:2]) != header[:2] {
		return corrupt("it does not begin with the bytes AC ED 00 05")
	}
	if string(r.stream[2:4]) != header[2:] {
		return corrupt("its stream protocol is not version 5")
	}
	r.at = len(header)
	return nil
}

// end refuses bytes after the object.
func (r *reader) end() error {
	if r.at < len(r.stream) {
		return corrupt("unexpected bytes after its end, at byte %d", r.at)
	}
	return nil
}

// peek returns the next byte. At the end it returns zero, which is not a tag.
func (r *reader) peek() byte {
	if r.at >= len(r.stream) {
		return 0
	}
	return r.stream[r.at]
}

// tag reads a tag; expected is its name for errors.
func (r *reader) tag(want byte, expected string) error {
	switch got := r.peek(); {
	case got == want:
		r.at++
		return nil
	case r.at >= len(r.stream):
		return corrupt("it is cut short at byte %d", r.at)
	case got >= tagNull && int(got-tagNull) < len(tagNames):
		return corrupt("found at byte %d %s, expected %s", r.at, tagNames[got-tagNull], expected)
	}
	return corrupt("found at byte %d an unknown tag, expected %s", r.at, expected)
}

// number reads a big-endian number of 1, 2, 4 or 8 bytes. A negative length is
// returned as a number larger than any stream.
func (r *reader) number(width int) (uint64, error) {
	b, err := r.take(uint64(width))
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	copy(wide[8-width:], b)
	return binary.BigEndian.Uint64(wide[:]), nil
}

// take returns the next n bytes, a slice of the stream.
func (r *reader) take(n uint64) ([]byte, error) {
	if n > uint64(len(r.stream)-r.at) {
		return nil, corrupt("it is cut short, or a length is wrong: the data at byte %d extends past its end", r.at)
	}
	start := r.at
	r.at += int(n)
	return r.stream[start:r.at:r.at], nil
}

// utf reads modified UTF-8 after its length, a number of the given width.
func (r *reader) utf(width int) (string, error) {
	n, err := r.number(width)
	if err != nil {
		return "", err
	}
	start := r.at
	b, err := r.take(n)
	if err != nil {
		return "", err
	}
	s, bad, lone := decodeUTF(b)
	if lone {
		return "", fault.New(fault.Corrupt,
			"unpaired surrogate at byte %d", start+bad).WithCause(ErrSurrogate)
	}
	if bad >= 0 {
		return "", corrupt("malformed modified UTF-8 at byte %d", start+bad)
	}
	return s, nil
}

// remember assigns the next handle to the element that was just read.
func (r *reader) remember(h handle) { r.handles = append(r.handles, h) }

// reference reads a back reference to an earlier element.
func (r *reader) reference(want elementKind) (handle, error) {
	start := r.at
	if err := r.tag(tagReference, "a back reference"); err != nil {
		return handle{}, err
	}
	n, err := r.number(4)
	if err != nil {
		return handle{}, err
	}
	if n < firstHandle || n-firstHandle >= uint64(len(r.handles)) {
		return handle{}, corrupt("the back reference at byte %d is to no earlier element", start)
	}
	h := r.handles[n-firstHandle]
	if h.kind != want {
		return handle{},
			corrupt("the back reference at byte %d is to %s, expected %s", start, h.kind, want)
	}
	return h, nil
}
