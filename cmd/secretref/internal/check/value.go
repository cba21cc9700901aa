package check

import (
	"context"
	"fmt"
	"io"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/ref"
)

// checkedValue is a value and the findings about it.
type checkedValue struct {
	location   string // "dbconfig.xml:14: jdbc-datasource/password", "argument 2"
	standalone bool   // it stands in no file
	ref        secretref.Reference
	unprefixed bool // it is written without a prefix

	// resolve fetches the secret; nil if a finding already explains why that is
	// impossible.
	resolve func(ctx context.Context) (secretref.Secret, error)

	findings []Finding
}

// Level is the severity of a finding.
type Level uint8

// The levels, from harmless to fatal.
const (
	Note  Level = iota // for information
	Doubt              // the product may not resolve it
	Wrong              // it does not resolve, or not to a password
)

type Finding struct {
	Level Level
	Text  string
	err   error // the error that Text is about, or nil
}

func (x *checkedValue) addNote(format string, args ...any) {
	x.findings = append(x.findings, Finding{Level: Note, Text: fmt.Sprintf(format, args...)})
}

func (x *checkedValue) addDoubt(format string, args ...any) {
	x.findings = append(x.findings, Finding{Level: Doubt, Text: fmt.Sprintf(format, args...)})
}

func (x *checkedValue) addWrong(format string, args ...any) {
	x.findings = append(x.findings, Finding{Level: Wrong, Text: fmt.Sprintf(format, args...)})
}

func (x *checkedValue) addFailure(err error, text string) {
	x.findings = append(x.findings, Finding{Level: Wrong, Text: text, err: err})
}

// worstLevel returns the level of the worst finding.
func (x *checkedValue) worstLevel() Level {
	worst := Note
	for _, f := range x.findings {
		worst = max(worst, f.Level)
	}
	return worst
}

func (x *checkedValue) write(w io.Writer) {
	worst := x.worstLevel()
	word := [...]string{Note: "ok", Doubt: "doubt", Wrong: "wrong"}[worst]
	title := x.location
	if x.ref != nil {
		text := x.ref.String()
		if x.unprefixed {
			text, _ = ref.CutPrefix(text)
		}
		title += ": " + text
	}
	_ = ui.Line(w, "  %-6s %s", word, title)
	for _, level := range []Level{Wrong, Doubt, Note} {
		for _, f := range x.findings {
			if f.Level == level {
				_ = ui.Line(w, "         %s%s", findingPrefix(f.Level, worst), f.Text)
			}
		}
	}
}

// findingPrefix introduces a finding of a value whose worst finding is given.
func findingPrefix(of, worst Level) string {
	switch {
	case of == Doubt && worst == Doubt:
		return "it resolves here, but the product may reject it: "
	case of == Doubt:
		return "in addition, the product may reject it: "
	case of == Note:
		return "note: "
	}
	return ""
}
