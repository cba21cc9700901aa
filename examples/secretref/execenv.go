package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/coord"
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

// fill is one variable that gets another value.
type fill struct {
	at      int // its index in the environment
	name    string
	between []string // the text before each reference, and behind the last
}

// whole reports whether the value is one reference and nothing else.
func (f fill) whole() bool { return len(f.between) == 2 && f.between[0]+f.between[1] == "" }

// planEnvironment finds the references in an environment. All mistakes come back
// in one error, none of which quotes a value.
func planEnvironment(env []string, c chosen, log *slog.Logger) (*job, error) {
	j := &job{env: env, strict: c.strict}
	var errs []error
	seen := names{}
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
		case c.strict && errors.Is(err, secretref.ErrNotReference):
			err = fault.New(fault.NotReference, "the value is plaintext or empty, which -strict forbids")
			fallthrough
		case errors.Is(err, secretref.ErrSyntax), marked(value), c.strict:
			if !c.strict {
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
		j.fills = append(j.fills, fill{at: i, name: name, between: between})
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

// references returns the references in a value, and the text between them. The
// error is that of [secretref.Parse] if there are none.
//
// References are only looked for inside other text when a letter or digit stands
// before the first: in front of quotes or brackets that somebody forgot to
// remove it is the whole value that is meant, and a password with quotes around
// it is a wrong password.
func references(value string) (refs, between []string, err error) {
	_, whole := secretref.Parse(value)
	if whole == nil {
		return []string{value}, []string{"", ""}, nil
	}
	for rest := value; ; {
		start, end, found, err := coord.Find(rest)
		switch {
		case !found && marked(value):
			return nil, nil, coord.PlaceholderFault()
		case !found && refs == nil:
			return nil, nil, whole
		case !found:
			return refs, append(between, rest), nil
		case refs == nil && errors.Is(whole, secretref.ErrSyntax) && !strings.ContainsFunc(rest[:start], letterOrDigit):
			return nil, nil, whole
		case err != nil:
			return nil, nil, err
		}
		if _, err := secretref.Parse(rest[start:end]); err != nil {
			return nil, nil, err
		}
		refs, between = append(refs, rest[start:end]), append(between, rest[:start])
		rest = rest[end:]
	}
}

// marked reports whether a value says that a product has moved the password
// elsewhere: the command would take the mark for it.
func marked(value string) bool { return strings.Contains(strings.ToUpper(value), coord.Placeholder) }

func letterOrDigit(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }

// inURL matches a text whose last word is the beginning of a URL. Those with
// semicolons (SQL Server, DB2) have parameters that are not percent-encoded.
var inURL = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^;\s"']*$`)

// percentEncode encodes all but the characters that no part of a URL gives a
// meaning to (RFC 3986, section 2.3): the functions of net/url know one part
// each.
func percentEncode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// resolve returns the environment with the secrets in it. Keyring and network
// are out of use when it returns.
func (j *job) resolve(ctx context.Context, store storeFlags, log *slog.Logger) ([]string, error) {
	if len(j.values) == 0 {
		return j.env, nil
	}
	log = slog.New(owned{log.Handler(), j})
	keyring, err := store.optional(ctx, log)
	if err != nil {
		return nil, err
	}
	defer keyring.close()
	resolver := secretref.New(&secretref.Options{Strict: j.strict, Keyring: keyring.keyring(), Logger: log})
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
	var errs []error
	n := 0
	for _, f := range j.fills {
		var value, before strings.Builder // before is value without the secrets
		last := len(f.between) - 1
		for _, text := range f.between[:last] {
			before.WriteString(text)
			secret := secrets[n].Reveal()
			switch {
			case inURL.MatchString(before.String()):
				secret = percentEncode(secret)
			case strings.Contains(secret, "\x00"):
				ref, _ := secretref.Parse(j.values[n])
				errs = append(errs, &secretref.Error{Source: variable(f.name), Reference: ref.String(),
					Err: fault.New(fault.Unsupported, "the secret has a NUL byte in it, which no variable can hold")})
			case !f.whole() && strings.ContainsAny(secret, " \t\r\n'\"\\;,&"):
				log.Warn(variable(f.name) + ": the secret stands in other text as it is, and a character in it may have a meaning there")
			}
			value.WriteString(text + secret)
			n++
		}
		env[f.at] = f.name + "=" + value.String() + f.between[last]
	}
	return env, errors.Join(errs...)
}

// source returns the variable that "value 3" is about.
func (j *job) source(value string) string {
	var n int
	if _, err := fmt.Sscanf(value, "value %d", &n); err != nil || n < 1 || n > len(j.owners) {
		return value
	}
	return variable(j.owners[n-1])
}

// located names the variables in the errors of ResolveAll.
func (j *job) located(err error) error {
	var errs []error
	for _, e := range parts(err) {
		if located, ok := e.(*secretref.Error); ok {
			e = &secretref.Error{Source: j.source(located.Source), Reference: located.Reference, Err: located.Err}
		}
		if !slices.ContainsFunc(errs, func(other error) bool { return other.Error() == e.Error() }) {
			errs = append(errs, e)
		}
	}
	return errors.Join(errs...)
}

// owned names the variables in warnings of ResolveAll.
type owned struct {
	slog.Handler
	*job
}

// Handle implements slog.Handler.
func (h owned) Handle(ctx context.Context, r slog.Record) error {
	named := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "source" {
			a.Value = slog.StringValue(h.source(a.Value.String()))
		}
		named.AddAttrs(a)
		return true
	})
	return h.Handler.Handle(ctx, named)
}

// WithAttrs implements slog.Handler.
func (h owned) WithAttrs(attrs []slog.Attr) slog.Handler {
	return owned{h.Handler.WithAttrs(attrs), h.job}
}
