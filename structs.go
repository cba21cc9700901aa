package secretref

import (
	"context"
	"errors"
	"reflect"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/structwalk"
)

// ResolveStruct resolves the values in the struct that ptr points to: every
// [Secret] that is not resolved yet, and every string whose field has the tag
//
//	`secretref:"resolve"`
//
// including those in nested structs, slices, arrays, maps and pointers. Unexported
// fields, interface fields and nil pointers are ignored.
//
// A Secret that was never set is ErrNotReference, because a misspelled or missing
// key of a configuration would otherwise become an empty password. So is a tagged
// string that is empty. Optional fields have the tag
//
//	`secretref:"optional"`          // of a Secret
//	`secretref:"resolve,optional"`  // of a string
//
// An empty value that was set is ErrNotReference unless [Options].AllowEmpty.
//
// Either all values are resolved or, with an error that names every field that
// failed, none is changed.
//
// Resolve a struct with tagged strings once: a string does not record that it was
// resolved, so a second call would resolve a secret that looks like a reference.
// Secrets record it, and are left alone by a second call. A struct that is nested
// deeper than 1000 levels is ErrUnsupported.
func (r *Resolver) ResolveStruct(ctx context.Context, ptr any) error {
	fields, store, err := structwalk.Walk(ptr, reflect.TypeFor[Secret]())
	if err != nil {
		return &Error{Err: err}
	}
	var requests []request
	var pending []structwalk.Field
	for _, field := range fields {
		if w, ok := r.fieldRequest(field); ok {
			requests, pending = append(requests, w), append(pending, field)
		}
	}
	secrets, errs := r.resolveAll(ctx, requests, true)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i, field := range pending {
		if field.Value.Kind() == reflect.String {
			field.Value.SetString(secrets[i].Reveal())
		} else {
			field.Value.Set(reflect.ValueOf(secrets[i]))
		}
	}
	store()
	return nil
}

// fieldRequest returns the request for a field. It reports false if the field does
// not have to be resolved.
func (r *Resolver) fieldRequest(field structwalk.Field) (w request, ok bool) {
	secret, isSecret := field.Value.Interface().(Secret)
	switch {
	case isSecret && secret.v == nil:
		return request{source: field.Path, err: neverSet()}, !field.Optional
	case isSecret:
		return r.newRequest(field.Path, secret.text()), secret.state() != resolved
	}
	value := field.Value.String()
	return r.newRequest(field.Path, value), value != "" || !field.Optional
}

// neverSet returns the error for a Secret field that was never set. No option turns
// it into an empty password.
func neverSet() error {
	return (&fault.Error{Kind: fault.NotReference, Text: "the secret was never set: " +
		"is its key misspelled or missing, or its reference not in quotes? " +
		"A field that may be left out has the tag secretref:\"optional\""}).Permanently()
}
