package jsonptr

import (
	"fmt"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

// walk follows a pointer through a document while the document is scanned.
//
// It has the result so far: the position of the value, or the token that was not found.
// A later member with the same name overwrites both, since the last one wins.
type walk struct {
	s, pointer string

	found      bool
	start, end int // of the value

	// The token pointer[at+1:stop] was not found in a value that begins with the
	// byte in; an array has count elements.
	at, stop int
	in       byte
	count    int
}

// find scans all of s and returns a walk that has found a value.
func find(s, pointer string) (walk, error) {
	if err := ValidPointer(pointer); err != nil {
		return walk{}, err
	}
	w := walk{s: s, pointer: pointer}
	next, p := document(s, &w)
	switch {
	case p != fine:
		return walk{}, p.at(next)
	case !w.found:
		return walk{}, w.notFoundError()
	}
	return w, nil
}

// value scans the value at s[i] and follows pointer[at:] in it.
func (w *walk) value(i, at, depth int) (next int, p problem) {
	if at == len(w.pointer) {
		next, p = skipValue(w.s, i, depth)
		w.found, w.start, w.end = true, i, next
		return next, p
	}
	if i >= len(w.s) {
		return i, truncated
	}
	w.found = false
	w.at, w.stop, w.in, w.count = at, tokenEnd(w.pointer, at), w.s[i], 0
	switch w.in {
	case '{':
		return w.object(i+1, at, w.stop, depth+1)
	case '[':
		return w.array(i+1, at, w.stop, depth+1)
	}
	return skipValue(w.s, i, depth)
}

// object scans an object from the offset after its opening brace, for the members that
// pointer[at+1:stop] names.
func (w *walk) object(i, at, stop, depth int) (next int, p problem) {
	if depth > MaxDepth {
		return i - 1, tooDeep
	}
	s, token := w.s, w.pointer[at+1:stop]
	plain := strings.IndexByte(token, '~') < 0
	i = SkipSpace(s, i)
	if i < len(s) && s[i] == '}' {
		return i + 1, fine
	}
	for {
		start := i + 1
		var end int
		var escaped bool
		if end, i, escaped, p = skipName(s, i); p != fine {
			return i, p
		}
		name := s[start:end]
		same := name == token
		if !plain || escaped {
			same = sameName(name, token)
		}
		if same {
			i, p = w.value(i, stop, depth)
		} else {
			i, p = skipValue(s, i, depth)
		}
		if p != fine {
			return i, p
		}
		var more bool
		if i, more, p = skipComma(s, i, '}'); p != fine || !more {
			return i, p
		}
	}
}

// array scans an array from the offset after its opening bracket, for the element that
// pointer[at+1:stop] indexes.
func (w *walk) array(i, at, stop, depth int) (next int, p problem) {
	if depth > MaxDepth {
		return i - 1, tooDeep
	}
	s := w.s
	want, ok := index(w.pointer[at+1 : stop])
	i = SkipSpace(s, i)
	if i < len(s) && s[i] == ']' {
		return i + 1, fine
	}
	for n := 0; ; n++ {
		if ok && n == want {
			i, p = w.value(i, stop, depth)
		} else {
			i, p = skipValue(s, i, depth)
		}
		if p != fine {
			return i, p
		}
		var more bool
		if i, more, p = skipComma(s, i, ']'); p != fine {
			return i, p
		}
		if !more {
			if !ok || n < want {
				w.count = n + 1
			}
			return i, fine
		}
	}
}

// notFoundError returns the error for the token that was not found.
func (w *walk) notFoundError() error {
	token := unescapeToken(w.pointer[w.at+1 : w.stop])
	place := "at the top level"
	if w.at > 0 {
		place = fmt.Sprintf("at %q", w.pointer[:w.at])
	}
	switch w.in {
	case '{':
		return fault.New(fault.Pointer, "no member %q in the object %s", token, place)
	case '[':
		if _, ok := index(token); !ok {
			return fault.New(fault.Pointer, "%q is not an index into the array %s", token, place)
		}
		elements := "elements"
		if w.count == 1 {
			elements = "element"
		}
		return fault.New(fault.Pointer, "index %s is past the end of the array %s (%d %s)", token, place, w.count, elements)
	}
	return fault.New(fault.Pointer, "the value %s is %s, it has no members", place, kind(w.in))
}

// text is the text of a scalar, and whether it is a string of its own instead of a part
// of the document.
type text struct {
	value string
	owned bool
}

// scalar looks up a string, a number or a boolean.
func scalar(s, pointer string) (text, error) {
	w, err := find(s, pointer)
	if err != nil {
		return text{}, err
	}
	value := s[w.start:w.end]
	switch value[0] {
	case '"':
		value = value[1 : len(value)-1]
		if strings.IndexByte(value, '\\') >= 0 {
			return text{unescape(value), true}, nil
		}
		return text{value, false}, nil
	case 't', 'f':
		return text{value, false}, nil
	case '{', '[', 'n':
		place := "at the top level"
		if pointer != "" {
			place = fmt.Sprintf("at %q", pointer)
		}
		return text{}, fault.New(fault.Pointer, "the value %s is %s, not a string, a number or a boolean", place, kind(value[0]))
	}
	return text{value, false}, nil
}

// kind returns the name of the kind of value that begins with c.
func kind(c byte) string {
	switch c {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}
