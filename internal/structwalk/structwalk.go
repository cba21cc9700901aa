// Package structwalk finds the fields of a configuration struct that hold values to
// resolve.
package structwalk

import (
	"errors"
	"reflect"
	"strconv"

	"github.com/seed74218947/secretref/internal/fault"
)

const tagName = "secretref"

// Field is a value to resolve: a struct field, or an element in one.
type Field struct {
	Path     string
	Value    reflect.Value // can be set
	Optional bool          // by its tag
}

// mode is the meaning of a field's tag.
type mode struct {
	strings  bool // strings have to be resolved
	optional bool
}

// parseTag returns the mode of a field's tag. It reports false if the tag is unknown.
func parseTag(tag string) (m mode, ok bool) {
	switch tag {
	case "resolve":
		return mode{strings: true}, true
	case "optional":
		return mode{optional: true}, true
	case "resolve,optional":
		return mode{strings: true, optional: true}, true
	}
	return mode{}, false
}

// maxDepth limits the nesting: a linked list of any length is not a configuration.
const maxDepth = 1000

// Walk returns the fields of type leaf, and the strings whose field is tagged
// `secretref:"resolve"` or `secretref:"resolve,optional"`, that can be reached from
// the pointer root through structs, slices, arrays, maps and pointers. Unexported
// and interface fields are ignored. A value that is reached twice is returned once,
// so that a cycle ends. Call store after setting the fields: it puts values back
// into their maps.
func Walk(root any, leaf reflect.Type) (fields []Field, store func(), err error) {
	v := reflect.ValueOf(root)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil, nil, fault.New(fault.Unsupported, "need a pointer to a struct, not %T", root)
	}
	w := walker{leaf: leaf, seen: map[visit]bool{}}
	w.walk(v, "", mode{})
	return w.found, func() {
		for _, store := range w.stores {
			store()
		}
	}, errors.Join(w.errs...)
}

// visit identifies visited memory. The same memory is visited again as another type,
// or if only then strings in it have to be resolved.
type visit struct {
	at      uintptr
	len     int
	typ     reflect.Type
	strings bool
}

type walker struct {
	leaf   reflect.Type
	seen   map[visit]bool
	found  []Field
	stores []func()
	errs   []error
	depth  int
}

// visitNew reports whether the memory that v refers to was not visited before.
func (w *walker) visitNew(v reflect.Value, m mode) bool {
	at := visit{v.Pointer(), 0, v.Type(), m.strings}
	if v.Kind() == reflect.Slice {
		at.len = v.Len()
	}
	return w.mark(at)
}

func (w *walker) mark(at visit) bool {
	if w.seen[at] {
		return false
	}
	w.seen[at] = true
	return true
}

// walk visits v, which is in a field of mode m.
func (w *walker) walk(v reflect.Value, path string, m mode) {
	if isDefinedAs(v.Type(), w.leaf) && v.CanAddr() {
		v = v.Addr().Convert(reflect.PointerTo(w.leaf)).Elem()
	}
	if v.Type() == w.leaf || m.strings && v.Kind() == reflect.String {
		if v.CanSet() && w.mark(visit{at: v.Addr().Pointer(), typ: v.Type()}) {
			w.found = append(w.found, Field{path, v, m.optional})
		}
		return
	}
	if w.depth++; w.depth > maxDepth {
		if w.depth == maxDepth+1 && len(w.errs) == 0 {
			w.errs = append(w.errs, fault.New(fault.Unsupported,
				"the struct is nested deeper than %d levels", maxDepth))
		}
		w.depth--
		return
	}
	defer func() { w.depth-- }()
	switch v.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		if cannotHold(v.Type().Elem(), m.strings) {
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && w.visitNew(v, m) {
			w.walk(v.Elem(), path, m)
		}
	case reflect.Struct:
		w.fields(v, path)
	case reflect.Slice:
		if v.IsNil() || !w.visitNew(v, m) {
			return
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			w.walk(v.Index(i), path+"["+strconv.Itoa(i)+"]", m)
		}
	case reflect.Map:
		if !v.IsNil() && w.visitNew(v, m) {
			w.entries(v, path, m)
		}
	}
}

// isDefinedAs reports whether t is defined by leaf, like
// "type Password secretref.Secret".
func isDefinedAs(t, leaf reflect.Type) bool {
	return t != leaf && leaf.Kind() == reflect.Struct && t.Kind() == reflect.Struct &&
		t.ConvertibleTo(leaf)
}

// cannotHold reports whether values of type t can contain no field to resolve, so
// that a long []byte is not visited byte by byte.
func cannotHold(t reflect.Type, tagged bool) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Struct, reflect.Slice, reflect.Array, reflect.Map:
		return false
	}
	return !tagged || t.Kind() != reflect.String
}

func (w *walker) fields(v reflect.Value, path string) {
	if path != "" {
		path += "."
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag, tagged := f.Tag.Lookup(tagName)
		m, ok := parseTag(tag)
		if tagged && !(ok && fits(f, m, w.leaf)) {
			if w.mark(visit{len: i, typ: v.Type()}) {
				w.errs = append(w.errs, fault.New(fault.Unsupported,
					"field %s: the tag %s:%q is not allowed on %s (%s): "+
						"a string takes %[2]s:\"resolve\" or %[2]s:\"resolve,optional\", "+
						"a Secret takes %[2]s:\"optional\", "+
						"and so do pointers, slices, arrays and maps of them; the field must be exported",
					path+f.Name, tagName, tag, f.Name, f.Type))
			}
			continue
		}
		if f.IsExported() || f.Anonymous && isStruct(f.Type) {
			w.walk(v.Field(i), path+f.Name, m)
		}
	}
}

// fits reports whether a tag is allowed on a field. A tagged unexported string would
// stay a reference and reach a database as one.
func fits(f reflect.StructField, m mode, leaf reflect.Type) bool {
	element := elementType(f.Type)
	return f.IsExported() && (element == leaf || isDefinedAs(element, leaf) ||
		m.strings && element.Kind() == reflect.String)
}

// isStruct reports whether the exported fields of an embedded t are promoted.
func isStruct(t reflect.Type) bool {
	return t.Kind() == reflect.Struct ||
		t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct
}

// elementType returns the type of the elements of pointers, slices, arrays and maps.
func elementType(t reflect.Type) reflect.Type {
	const maxLevels = 100 // a type can contain itself
	for range maxLevels {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			t = t.Elem()
		default:
			return t
		}
	}
	return t
}

// entries visits copies of a map's values, because they cannot be set in place.
func (w *walker) entries(entries reflect.Value, path string, m mode) {
	for it := entries.MapRange(); it.Next(); {
		key := it.Key()
		value := reflect.New(entries.Type().Elem()).Elem()
		value.Set(it.Value())
		before := len(w.found)
		w.walk(value, path+"["+keyText(key)+"]", m)
		if len(w.found) > before {
			w.stores = append(w.stores, func() { entries.SetMapIndex(key, value) })
		}
	}
}

func keyText(key reflect.Value) string {
	switch key.Kind() {
	case reflect.String:
		return strconv.Quote(key.String())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(key.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(key.Uint(), 10)
	}
	return key.Type().String()
}
