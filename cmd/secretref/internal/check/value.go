package check

import (
	"context"
	"fmt"
	"io"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/ref"
)

// checkedValue is one value under examination.
type checkedValue struct {
	location   string // "dbconfig.xml:14: jdbc-datasource/password", "argument 2"
	standalone bool   // it stands in no file
	ref        secretref.Reference
	unprefixed bool // it is written without a prefix

	// resolve gets the secret; nil if the findings say already why nobody can.
	resolve func(ctx context.Context) (secretref.Secret, error)

	findings []Finding
}

// Level is how bad a finding is.
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
	err   error // what text is about, if it is an error
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

// worstLevel is that of the worst finding.
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
	subject := x.location
	if x.ref != nil {
		text := x.ref.String()
		if x.unprefixed {
			text, _ = ref.CutPrefix(text)
		}
		subject += ": " + text
	}
	_ = ui.Line(w, "  %-6s %s", word, subject)
	for _, level := range []Level{Wrong, Doubt, Note} {
		for _, f := range x.findings {
			if f.Level == level {
				_ = ui.Line(w, "         %s%s", findingPrefix(f.Level, worst), f.Text)
			}
		}
	}
}

// findingPrefix says what kind of finding follows.
func findingPrefix(of, worst Level) string {
	switch {
	case of == Doubt && worst == Doubt:
		return "resolves here but the product may not: "
	case of == Doubt:
		return "the product may refuse it besides: "
	case of == Note:
		return "note: "
	}
	return ""
}
