package fault_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"jdbc.password":             "jdbc.password",
		`C:\new "é" 日本`:             `C:\new "é" 日本`,
		"a\nb\r\tc":                 `a\nb\r\tc`,
		"\x1b[2Jgone":               `\x1b[2Jgone`,
		"\u009b2J":                  `\u009b2J`,
		"user\u202egnp.exe":         `user\u202egnp.exe`,
		"zero\u200bwidth\u2028line": `zero\u200bwidth\u2028line`,
		"tag\U000e0041":             `tag\U000e0041`,
		"bad\xff\xfe":               `bad\xff\xfe`,
		"\ufffd":                    "\ufffd",
		"\x7f":                      `\x7f`,
	} {
		require.Equal(t, want, fault.Printable(text))
		require.Equal(t, want, fault.Printable(want))
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\u202e\x9b\xff\n")
	f.Fuzz(func(t *testing.T, text string) {
		got := fault.Printable(text)
		require.True(t, utf8.ValidString(got))
		require.False(t, strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }))
		require.Equal(t, got, fault.Printable(got))
	})
}

func TestError_printable(t *testing.T) {
	err := fault.New(fault.Syntax, "cannot read %s, key %q", "a\x1b[2J\u202e", "b\n")
	require.Equal(t, `syntax error: cannot read a\x1b[2J\u202e, key "b\n"`, err.Error())
}

type secretCause struct{ text string }

func (s *secretCause) Error() string { return s.text }

// Crash reporters follow Unwrap() error and Unwrap() []error and print all errors.
func TestError_cause(t *testing.T) {
	cause := &secretCause{"hunter2"}
	err := error(fault.New(fault.Unavailable, "no answer").WithCause(cause))
	require.ErrorIs(t, err, fault.Unavailable)
	require.ErrorIs(t, err, cause)
	found, ok := errors.AsType[*secretCause](err)
	require.True(t, ok)
	require.Same(t, cause, found)
	var walk func(error)
	walk = func(e error) {
		require.NotContains(t, e.Error(), "hunter2")
		switch e := e.(type) {
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		case interface{ Unwrap() []error }:
			for _, e := range e.Unwrap() {
				walk(e)
			}
		}
	}
	walk(err)
}

func TestWithMessage(t *testing.T) {
	require.NoError(t, fault.WithMessage(nil, "x"))
	cause := &secretCause{"hunter2"}
	err := fault.WithMessage(cause, "needs\x1b[2J the role")
	require.Equal(t, `needs\x1b[2J the role`, err.Error())
	require.ErrorIs(t, err, cause)
	_, ok := errors.AsType[*secretCause](err)
	require.True(t, ok)
	require.NoError(t, errors.Unwrap(err))
	require.NotContains(t, fmt.Sprintf("%+v %#v", err, err), "hunter2")
	require.Equal(t, err.Error(), fault.MessageOf(fmt.Errorf("a: %w", err)))
	require.Empty(t, fault.MessageOf(cause))
	require.Empty(t, fault.MessageOf(nil))
}
