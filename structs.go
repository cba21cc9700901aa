package secretref

import (
	"context"
	"errors"
	"hash/maphash"
	"reflect"
	"sync"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/structwalk"
)

// ResolveStruct resolves the values in the struct that ptr points to: every
// [Secret] that is not resolved yet, and every string whose field has the tag
//
//	`secretref:"resolve"`
//
// also in nested structs, slices, arrays, maps and behind pointers. Unexported
// and interface fields, and nil pointers, are left alone.
//
// A Secret that was never set is ErrNotReference, since a misspelt or missing key
// of a configuration would otherwise end as an empty password; so is a tagged
// string that is empty. A field that may be left out has the tag
//
//	`secretref:"optional"`          // of a Secret
//	`secretref:"resolve,optional"`  // of a string
//
// An empty value that was set is ErrNotReference unless [Options].AllowEmpty.
//
// Either all values are resolved or, with an error that names every field that
// failed, none is changed. A second call leaves alone what the first one
// resolved: Secrets, and of tagged strings the last few thousand of this
// Resolver, as long as they were not moved or changed. A struct that is nested
// deeper than 1000 steps is ErrUnsupported.
func (r *Resolver) ResolveStruct(ctx context.Context, ptr any) error {
	s := r.open()
	slots, done, err := structwalk.Walk(ptr, reflect.TypeFor[Secret]())
	if err != nil {
		return &Error{Err: err}
	}
	var wants []want
	var places []structwalk.Field
	for _, slot := range slots {
		w, pending := r.wantSlot(slot)
		if pending {
			wants = append(wants, w)
			places = append(places, slot)
		}
	}
	secrets, errs := r.all(ctx, wants, true)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i, slot := range places {
		if slot.Value.Kind() == reflect.String {
			slot.Value.SetString(secrets[i].Reveal())
			s.written.add(slot.Place, secrets[i].Reveal())
		} else {
			slot.Value.Set(reflect.ValueOf(secrets[i]))
		}
	}
	done()
	return nil
}

// wantSlot returns what a slot holds, and whether it has to be resolved.
func (r *Resolver) wantSlot(slot structwalk.Field) (w want, pending bool) {
	s := r.open()
	secret, ok := slot.Value.Interface().(Secret)
	switch {
	case ok && secret.v == nil:
		return want{source: slot.Path, err: neverSet()}, !slot.Optional
	case ok:
		return r.want(slot.Path, secret.text()), secret.state() != resolved
	}
	value := slot.Value.String()
	switch {
	case s.written.has(slot.Place, value):
		return want{}, false
	case value == "" && slot.Optional:
		return want{}, false
	}
	return r.want(slot.Path, value), true
}

// neverSet is about a Secret field that nothing was stored in. It is a failure
// of its own, which no option turns into an empty password.
func neverSet() error {
	return (&fault.Error{Kind: fault.NotReference, Text: "the secret was never set: is its key misspelt or missing, or its reference not in quotes? " +
		"A field that may be left out has the tag secretref:\"optional\""}).Permanently()
}

// written remembers which strings hold what a ResolveStruct wrote: a secret can
// look like a reference, and is not to be resolved again.
type written struct {
	mu    sync.Mutex
	seed  maphash.Seed
	texts map[structwalk.Place]uint64 // what was written, as a hash
}

// maxWritten is how many strings are remembered.
const maxWritten = 8192

func (w *written) has(at structwalk.Place, text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	sum, ok := w.texts[at]
	return ok && sum == maphash.String(w.seed, text)
}

func (w *written) add(at structwalk.Place, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.texts == nil || len(w.texts) >= maxWritten {
		w.texts = map[structwalk.Place]uint64{}
	}
	w.texts[at] = maphash.String(w.seed, text)
}
