package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/fault"
)

// job is an environment and what has to be resolved for it.
type job struct {
	env    []string // as it was found
	fills  []fill
	values []string // the references of all fills, in order
	owners []string // the variable of each of values
	strict bool
}

// planEnvironment finds the references in an environment. All mistakes come back
// in one error, none of which quotes a value.
func planEnvironment(env []string, c chosen, log *slog.Logger) (*job, error) {
	j := &job{env: env, strict: c.strict}
	var errs []error
	seen := names{}
	demanding := c.strict && len(c.only) > 0
	tolerant := !c.strict && len(c.only) == 0
	for i, entry := range env {
		name, value := cut(entry)
		if !c.has(name) {
			continue
		}
		seen = append(seen, name)
		refs, between, err := references(value)
		if located, ok := errors.AsType[*secretref.Error](err); ok {
			err = located.Err // it knows no place
		}
		switch {
		case err == nil:
		case tolerant && errors.Is(err, secretref.ErrSyntax) && !prefixed(value):
			// Somebody else's variable, which nobody has named.
			log.Warn(variable(name) + " is passed on as it is, though it looks like a reference with a mistake: " + err.Error())
			continue
		case demanding && errors.Is(err, secretref.ErrNotReference):
			err = fault.New(fault.NotReference, "the value is plaintext or empty, which -strict forbids")
			fallthrough
		case errors.Is(err, secretref.ErrSyntax), marked(value), demanding:
			if !demanding {
				err = skippable{name, err}
			}
			errs = append(errs, &secretref.Error{Source: variable(name), Err: err})
			continue
		case errors.Is(err, secretref.ErrUnsupported):
			log.Warn(variable(name) + " is passed on as it is: " + err.Error())
			continue
		default:
			continue
		}
		for range refs {
			j.owners = append(j.owners, name)
		}
		j.values = append(j.values, refs...)
		j.fills = append(j.fills, fill{i, name, refs, between})
	}
	for _, name := range c.only {
		switch {
		case seen.has(name) || !c.has(name):
		case c.strict:
			errs = append(errs, &secretref.Error{Source: variable(name), Err: fault.New(fault.NotReference, "it is not set, which -strict forbids")})
		default:
			log.Warn(variable(name) + " is not set")
		}
	}
	return j, errors.Join(errs...)
}

// cut takes an entry apart. On Windows there are names that begin with "=".
func cut(entry string) (name, value string) {
	if i := strings.IndexByte(entry[min(1, len(entry)):], '='); i >= 0 {
		return entry[:i+1], entry[i+2:]
	}
	return entry, ""
}

func variable(name string) string { return "variable " + printable(name) }

// skippable is a mistake in a variable that may not be meant for us.
type skippable struct {
	name string
	error
}

func (s skippable) Error() string {
	text := s.error.Error()
	if !strings.HasSuffix(text, "?") {
		text += ";"
	}
	return text + " -skip " + printable(s.name) + " leaves it alone"
}

func (s skippable) Unwrap() error { return s.error }

// resolve returns the environment with the secrets in it. Keyring and network
// are out of use when it returns.
func (j *job) resolve(ctx context.Context, store storeFlags, log *slog.Logger) ([]string, error) {
	if len(j.values) == 0 {
		return j.env, nil
	}
	log = slog.New(owned{log.Handler(), j, &sync.Map{}})
	keyring, err := store.optional(ctx, log)
	if err != nil {
		return nil, err
	}
	defer keyring.close()
	resolver := secretref.New(&secretref.Options{Strict: j.strict, Timeout: store.timeout.value(), Keyring: keyring.keyring(), Logger: log})
	defer resolver.Close()
	secrets, err := resolver.ResolveAll(ctx, j.values...)
	if err != nil {
		return nil, j.located(err)
	}
	return j.filled(secrets, log)
}

// filled writes the secrets in the places of their references.
func (j *job) filled(secrets []secretref.Secret, log *slog.Logger) ([]string, error) {
	env := slices.Clone(j.env)
	var all []error
	for _, f := range j.fills {
		value, verbatim, errs := f.value(secrets[:len(f.refs)])
		secrets = secrets[len(f.refs):]
		if verbatim {
			log.Warn(variable(f.name) + ": the secret stands in other text as it is, and a character in it may have a meaning there")
		}
		env[f.at] = f.name + "=" + value
		all = append(all, errs...)
	}
	return env, errors.Join(all...)
}
