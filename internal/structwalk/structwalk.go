// Package walk finds the places in a caller's configuration struct that hold
// values to resolve.
package structwalk

import (
	"errors"
	"reflect"
	"strconv"

	"github.com/seed74218947/secretref/internal/fault"
)

const tagName = "secretref"

// Field is one place: where it is, and what it holds, which can be set.
type Field struct {
	Path     string
	Value    reflect.Value
	Place    Place
	Optional bool // the field's tag says that it need not be set
}

// mode is what the tag of a field says of the values in it.
type mode struct {
	strings  bool // strings are values
	optional bool
}

// parseTag returns the mode of a field's tag; ok is false if it is not one.
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

// Place tells a slot from all others that there are at the same time, and is
// the same for it in the next walk.
type Place struct {
	at   uintptr // of the slot; in a map of the map
	path string  // in a map
}

// deepest is how many steps lead to a slot at most: what is linked to a list of
// any length is not a configuration.
const deepest = 1000

// Walk lists the slots of type leaf, and the strings whose field is tagged
// `secretref:"resolve"` or `secretref:"resolve,optional"`, that are reached from the pointer root through
// structs, slices, arrays, maps and pointers. Unexported and interface fields
// are left alone; what is reached twice is listed once, so that a cycle ends.
// After the slots are set, done must be called: it stores what lies in maps.
func Walk(root any, leaf reflect.Type) (slots []Field, done func(), err error) {
	v := reflect.ValueOf(root)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil, nil, fault.New(fault.Unsupported, "need a pointer to a struct, not %T", root)
	}
	w := walker{leaf: leaf, seen: map[visit]bool{}}
	w.walk(v, "", mode{})
	return w.slots, func() {
		for _, store := range w.stores {
			store()
		}
	}, errors.Join(w.errs...)
}

// visit is what was seen: the same memory is visited again as another type, or
// when strings in it are values only then.
type visit struct {
	at      uintptr
	len     int
	typ     reflect.Type
	strings bool
}

type walker struct {
	leaf   reflect.Type
	seen   map[visit]bool
	slots  []Field
	stores []func()
	errs   []error
	depth  int
	within uintptr // the outermost map that is being visited
}

// first reports whether v, which refers to other memory, is new.
func (w *walker) first(v reflect.Value, m mode) bool {
	at := visit{v.Pointer(), 0, v.Type(), m.strings}
	if v.Kind() == reflect.Slice {
		at.len = v.Len()
	}
	return w.new(at)
}

func (w *walker) new(at visit) bool {
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
		if v.CanSet() && w.new(visit{at: v.Addr().Pointer(), typ: v.Type()}) {
			place := Place{at: v.Addr().Pointer()}
			if w.within != 0 {
				place = Place{w.within, path}
			}
			w.slots = append(w.slots, Field{path, v, place, m.optional})
		}
		return
	}
	if w.depth++; w.depth > deepest {
		if w.depth == deepest+1 && len(w.errs) == 0 {
			w.errs = append(w.errs, fault.New(fault.Unsupported, "the struct is nested deeper than %d steps", deepest))
		}
		w.depth--
		return
	}
	defer func() { w.depth-- }()
	switch v.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		if barren(v.Type().Elem(), m.strings) {
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && w.first(v, m) {
			w.walk(v.Elem(), path, m)
		}
	case reflect.Struct:
		w.fields(v, path)
	case reflect.Slice:
		if v.IsNil() || !w.first(v, m) {
			return
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			w.walk(v.Index(i), path+"["+strconv.Itoa(i)+"]", m)
		}
	case reflect.Map:
		if !v.IsNil() && w.first(v, m) {
			w.entries(v, path, m)
		}
	}
}

// isDefinedAs reports whether t is another type of the same structure as leaf:
// type Password secretref.Secret.
func isDefinedAs(t, leaf reflect.Type) bool {
	return t != leaf && leaf.Kind() == reflect.Struct && t.Kind() == reflect.Struct && t.ConvertibleTo(leaf)
}

// barren reports whether values of type t can hold no slot, so that a long
// []byte is not visited byte by byte.
func barren(t reflect.Type, tagged bool) bool {
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
			if w.new(visit{len: i, typ: v.Type()}) {
				w.errs = append(w.errs, fault.New(fault.Unsupported, "field %s: the tag %s:%q is not allowed on %s (%s): "+
					"a string takes %[2]s:\"resolve\" or %[2]s:\"resolve,optional\", a Secret takes %[2]s:\"optional\", "+
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

// fits reports whether a tag has a meaning on a field. An unexported string
// that is tagged would stay a reference, and go to a database as one.
func fits(f reflect.StructField, m mode, leaf reflect.Type) bool {
	held := heldBy(f.Type)
	return f.IsExported() && (held == leaf || isDefinedAs(held, leaf) || m.strings && held.Kind() == reflect.String)
}

// isStruct reports whether the exported fields of an embedded t are promoted.
func isStruct(t reflect.Type) bool {
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct
}

// heldBy returns the type of the values in pointers, slices, arrays and maps.
func heldBy(t reflect.Type) reflect.Type {
	const deep = 100 // a type that contains itself has no end
	for range deep {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			t = t.Elem()
		default:
			return t
		}
	}
	return t
}

// entries visits copies of a map's values, which cannot be set in place.
func (w *walker) entries(entries reflect.Value, path string, m mode) {
	if w.within == 0 {
		w.within = entries.Pointer()
		defer func() { w.within = 0 }()
	}
	for it := entries.MapRange(); it.Next(); {
		key := it.Key()
		value := reflect.New(entries.Type().Elem()).Elem()
		value.Set(it.Value())
		before := len(w.slots)
		w.walk(value, path+"["+keyText(key)+"]", m)
		if len(w.slots) > before {
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
