package exec

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/storeflags"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/fault"
)

// envPlan is an environment and the references in it.
type envPlan struct {
	env    []string // unchanged
	fills  []substitution
	values []string // the references of all fills, in order
	owners []string // the variable of each value
	strict bool
}

// planEnvironment finds the references in an environment. It returns all mistakes in
// one error that quotes no value.
func planEnvironment(env []string, c selection, log *slog.Logger) (*envPlan, error) {
	j := &envPlan{env: env, strict: c.strict}
	var errs []error
	seen := nameList{}
	demanding := c.strict && len(c.only) > 0
	tolerant := !c.strict && len(c.only) == 0
	for i, entry := range env {
		name, value := splitEntry(entry)
		if !c.includes(name) {
			continue
		}
		seen = append(seen, name)
		refs, between, err := findReferences(value)
		if located, ok := errors.AsType[*secretref.Error](err); ok {
			err = located.Err // it has no source yet
		}
		switch {
		case err == nil:
		case tolerant && errors.Is(err, secretref.ErrSyntax) && !hasEncPrefix(value):
			// The variable was not selected and may not be meant for this program.
			log.Warn(describeVariable(name) +
				" looks like a malformed reference and is passed on unchanged: " + err.Error())
			continue
		case demanding && errors.Is(err, secretref.ErrNotReference):
			err = fault.New(fault.NotReference,
				"the value is plaintext or empty, which -strict does not allow")
			fallthrough
		case errors.Is(err, secretref.ErrSyntax), hasPlaceholder(value), demanding:
			if !demanding {
				err = skippableError{name, err}
			}
			errs = append(errs, &secretref.Error{Source: describeVariable(name), Err: err})
			continue
		case errors.Is(err, secretref.ErrUnsupported):
			log.Warn(describeVariable(name) + " is passed on unchanged: " + err.Error())
			continue
		default:
			continue
		}
		for range refs {
			j.owners = append(j.owners, name)
		}
		j.values = append(j.values, refs...)
		j.fills = append(j.fills, substitution{i, name, refs, between})
	}
	for _, name := range c.only {
		switch {
		case seen.contains(name) || !c.includes(name):
		case c.strict:
			errs = append(errs, &secretref.Error{Source: describeVariable(name),
				Err: fault.New(fault.NotReference, "it is not set, which -strict does not allow")})
		default:
			log.Warn(describeVariable(name) + " is not set")
		}
	}
	return j, errors.Join(errs...)
}

// splitEntry splits an entry into name and value. On Windows a name may start with
// "=".
func splitEntry(entry string) (name, value string) {
	if i := strings.IndexByte(entry[min(1, len(entry)):], '='); i >= 0 {
		return entry[:i+1], entry[i+2:]
	}
	return entry, ""
}

func describeVariable(name string) string { return "variable " + ui.Printable(name) }

// skippableError is a mistake in a variable that may not be meant for this program.
type skippableError struct {
	name string
	error
}

func (s skippableError) Error() string {
	text := s.error.Error()
	if !strings.HasSuffix(text, "?") {
		text += ";"
	}
	return text + " use -skip " + ui.Printable(s.name) + " to pass it on unchanged"
}

func (s skippableError) Unwrap() error { return s.error }

// resolve returns the environment with the secrets. Keyring and connections are closed
// when it returns.
func (j *envPlan) resolve(ctx context.Context, store storeflags.Flags, log *slog.Logger) ([]string,
	error) {
	if len(j.values) == 0 {
		return j.env, nil
	}
	log = slog.New(variableNamer{log.Handler(), j, &sync.Map{}})
	keyring, err := store.OpenIfGiven(ctx, log)
	if err != nil {
		return nil, err
	}
	defer keyring.CloseIfOpen()
	resolver := secretref.New(&secretref.Options{Strict: j.strict, Timeout: store.Timeout.Value(),
		Keyring: keyring.OrNil(), Logger: log})
	defer resolver.Close()
	secrets, err := resolver.ResolveAll(ctx, j.values...)
	if err != nil {
		return nil, j.nameVariables(err)
	}
	return j.substitute(secrets, log)
}

// substitute replaces the references by secrets.
func (j *envPlan) substitute(secrets []secretref.Secret, log *slog.Logger) ([]string, error) {
	env := slices.Clone(j.env)
	var all []error
	for _, f := range j.fills {
		value, verbatim, errs := f.render(secrets[:len(f.refs)])
		secrets = secrets[len(f.refs):]
		if verbatim {
			log.Warn(describeVariable(f.name) +
				": the secret was inserted into other text verbatim, and one of its characters " +
				"may have a meaning there")
		}
		env[f.index] = f.name + "=" + value
		all = append(all, errs...)
	}
	return env, errors.Join(all...)
}
