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

// Streams are what a command reads and writes. What goes to out and err is for
// people: [run] makes it printable. A secret, or JSON, goes to exact.
type Streams struct {
	In            io.Reader
	Out, Err      io.Writer
	OutIsTerminal bool // out is read by a person
	ErrIsTerminal bool // err is, as it is written

	Exact  *bufio.Writer // out, byte for byte
	Cursor io.Writer     // err, for what moves the cursor
}

// Sanitized returns streams whose out and err do nothing to a terminal.
func (s Streams) Sanitized() Streams {
	s.Exact, s.Cursor = bufio.NewWriter(s.Out), &lockedWriter{to: s.Err}
	s.Out, s.Err = printableWriter{s.Exact}, printableWriter{s.Cursor}
	return s
}

// lockedWriter is written to by one goroutine at a time: a command, what it waits
// for, and the library's log.
type lockedWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

// Flush writes what out holds back, for a command that does not end.
func (s Streams) Flush() error { return s.Exact.Flush() }

// printableWriter makes all that is written printable but for line ends. What
// may have a line end that is not meant as one has to go through [line].
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

// Line writes one line of text, whatever is in the arguments.
func Line(w io.Writer, format string, args ...any) error {
	_, err := io.WriteString(w, fault.Printable(fmt.Sprintf(format, args...))+"\n")
	return err
}

// Printable quotes a value that would do something else to a terminal, or to the
// next line, than stand there. Two values never look the same.
func Printable(s string) string {
	if fault.Printable(s) == s {
		return s
	}
	return strconv.Quote(s)
}

// NewJSONEncoder returns an encoder that escapes what would do something to a
// terminal. JSON has such characters only in strings.
func NewJSONEncoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(escapingWriter{w})
	e.SetEscapeHTML(false)
	return e
}

type escapingWriter struct{ to io.Writer }

func (w escapingWriter) Write(p []byte) (int, error) {
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
	if _, err := w.to.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// PrintSecret writes a secret and nothing else; a terminal needs a newline.
func PrintSecret(s Streams, secret secretref.Secret) error {
	text := secret.Reveal()
	if s.OutIsTerminal {
		text += "\n"
	}
	_, err := s.Exact.WriteString(text)
	return err
}
