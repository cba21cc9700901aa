package ui

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/fault"
)

// Streams are the standard streams of a command. After [Streams.Sanitized], Out and
// Err escape unprintable characters; secrets and JSON go to Exact.
type Streams struct {
	In            io.Reader
	Out, Err      io.Writer
	OutIsTerminal bool
	ErrIsTerminal bool

	Exact  *bufio.Writer // Out without escaping
	Cursor io.Writer     // Err without escaping, for moving the cursor
}

// Sanitized returns streams whose Out and Err cannot control a terminal.
func (s Streams) Sanitized() Streams {
	s.Exact, s.Cursor = bufio.NewWriter(s.Out), &lockedWriter{to: s.Err}
	s.Out, s.Err = printableWriter{s.Exact}, printableWriter{s.Cursor}
	return s
}

// lockedWriter serializes writes of the command, the wait reports and the library's
// log.
type lockedWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(p)
}

// Flush writes the buffered output of a command that keeps running.
func (s Streams) Flush() error { return s.Exact.Flush() }

// printableWriter escapes unprintable characters except line feeds. Text that may
// contain a line feed of its own must go through [Line].
type printableWriter struct{ to io.Writer }

func (w printableWriter) Write(p []byte) (int, error) {
	lines := strings.Split(string(p), "\n")
	for i, line := range lines {
		lines[i] = fault.Printable(line)
	}
	if _, err := io.WriteString(w.to, strings.Join(lines, "\n")); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Line writes exactly one line, even if an argument contains line feeds.
func Line(w io.Writer, format string, args ...any) error {
	_, err := io.WriteString(w, fault.Printable(fmt.Sprintf(format, args...))+"\n")
	return err
}

// Printable quotes a value that would control a terminal or start a new line. Two
// values never look the same.
func Printable(s string) string {
	if fault.Printable(s) == s {
		return s
	}
	return strconv.Quote(s)
}

// NewJSONEncoder returns an encoder that escapes characters that control a terminal.
// JSON has them only in strings.
func NewJSONEncoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(escapingWriter{w})
	e.SetEscapeHTML(false)
	return e
}

type escapingWriter struct{ to io.Writer }

func (e escapingWriter) Write(p []byte) (int, error) {
	var out bytes.Buffer
	for rest := p; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r < ' ', unicode.IsPrint(r):
			out.Write(rest[:size])
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&out, `\u%04x`, unit)
			}
		}
		rest = rest[size:]
	}
	if _, err := e.to.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// PrintSecret writes a secret and nothing else; on a terminal a newline follows.
func PrintSecret(s Streams, secret secretref.Secret) error {
	text := secret.Reveal()
	if s.OutIsTerminal { // the shell's prompt should start on a new line
		text += "\n"
	}
	_, err := s.Exact.WriteString(text)
	return err
}
