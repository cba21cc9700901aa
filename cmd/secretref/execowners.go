package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/seed74218947/secretref"
)

// source returns the variable that "value 3" is about.
func (j *job) source(value string) string {
	var n int
	if _, err := fmt.Sscanf(value, "value %d", &n); err != nil || n < 1 || n > len(j.owners) {
		return value
	}
	return variable(j.owners[n-1])
}

// holders returns the variables that a canonical reference stands in. What is
// found out about a secret when it is fetched is told once for all of them.
func (j *job) holders(reference string) string {
	var all []string
	for i, value := range j.values {
		ref, err := secretref.Parse(value)
		if owner := variable(j.owners[i]); err == nil && ref.String() == reference && !slices.Contains(all, owner) {
			all = append(all, owner)
		}
	}
	return strings.Join(all, " and ")
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
	told *sync.Map // warnings that name all variables with one secret
}

// Live implements slog.Handler.
func (h owned) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return h.Handler.Handle(ctx, r)
	}
	named := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	var attrs []slog.Attr
	has := map[string]string{}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "source" {
			a.Value = slog.StringValue(h.source(a.Value.String()))
		}
		attrs, has[a.Key] = append(attrs, a), a.Value.String()
		return true
	})
	if owners := h.holders(has["reference"]); has["source"] == "" && owners != "" {
		if _, before := h.told.LoadOrStore(r.Message+has["reference"], true); before {
			return nil
		}
		named.AddAttrs(slog.String("source", owners))
	}
	named.AddAttrs(attrs...)
	return h.Handler.Handle(ctx, named)
}

// WithAttrs implements slog.Handler.
func (h owned) WithAttrs(attrs []slog.Attr) slog.Handler {
	return owned{h.Handler.WithAttrs(attrs), h.job, h.told}
}
