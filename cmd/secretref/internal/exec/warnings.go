package exec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

// variableOf returns the variable of a source such as "value 3".
func (j *envPlan) variableOf(value string) string {
	var n int
	if _, err := fmt.Sscanf(value, "value %d", &n); err != nil || n < 1 || n > len(j.owners) {
		return value
	}
	return describeVariable(j.owners[n-1])
}

// variablesWith returns the variables that contain a canonical reference, since a
// warning about a fetched secret concerns all of them.
func (j *envPlan) variablesWith(reference string) string {
	var all []string
	for i, value := range j.values {
		ref, err := secretref.Parse(value)
		if owner := describeVariable(j.owners[i]); err == nil && ref.String() == reference &&
			!slices.Contains(all, owner) {
			all = append(all, owner)
		}
	}
	return strings.Join(all, " and ")
}

// nameVariables replaces the sources in the errors of ResolveAll by variables.
func (j *envPlan) nameVariables(err error) error {
	var errs []error
	for _, e := range ui.SplitErrors(err) {
		if located, ok := e.(*secretref.Error); ok {
			e = &secretref.Error{Source: j.variableOf(located.Source), Reference: located.Reference,
				Err: located.Err}
		}
		if !slices.ContainsFunc(errs,
			func(other error) bool { return other.Error() == e.Error() }) {
			errs = append(errs, e)
		}
	}
	return errors.Join(errs...)
}

// variableNamer replaces the sources in the warnings of ResolveAll by variables.
type variableNamer struct {
	slog.Handler
	*envPlan
	warned *sync.Map // keys of the warnings that already named all variables
}

// Handle implements slog.Handler.
func (v variableNamer) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return v.Handler.Handle(ctx, r)
	}
	named := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	var attrs []slog.Attr
	has := map[string]string{}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "source" {
			a.Value = slog.StringValue(v.variableOf(a.Value.String()))
		}
		attrs, has[a.Key] = append(attrs, a), a.Value.String()
		return true
	})
	if owners := v.variablesWith(has["reference"]); has["source"] == "" && owners != "" {
		if _, before := v.warned.LoadOrStore(r.Message+has["reference"], true); before {
			return nil
		}
		named.AddAttrs(slog.String("source", owners))
	}
	named.AddAttrs(attrs...)
	return v.Handler.Handle(ctx, named)
}

// WithAttrs implements slog.Handler.
func (v variableNamer) WithAttrs(attrs []slog.Attr) slog.Handler {
	return variableNamer{v.Handler.WithAttrs(attrs), v.envPlan, v.warned}
}
