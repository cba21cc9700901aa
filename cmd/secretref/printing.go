package main

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

	"github.com/seed74218947/secretref/internal/fault"
)

// streams are what a command reads and writes. What goes to out and err is for
// people: [run] makes it printable. A secret, or JSON, goes to exact.
type streams struct {
	in       io.Reader
	out, err io.Writer
	terminal bool // out is read by a person
	watched  bool // err is, as it is written

	exact  *bufio.Writer // out, byte for byte
	cursor io.Writer     // err, for what moves the cursor
}

// guarded returns streams whose out and err do nothing to a terminal.
func (s streams) guarded() streams {
	s.exact, s.cursor = bufio.NewWriter(s.out), &lockedWriter{to: s.err}
	s.out, s.err = printableWriter{s.exact}, printableWriter{s.cursor}
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

// flush writes what out holds back, for a command that does not end.
func (s streams) flush() error { return s.exact.Flush() }

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

// line writes one line of text, whatever is in the arguments.
func line(w io.Writer, format string, args ...any) error {
	_, err := io.WriteString(w, fault.Printable(fmt.Sprintf(format, args...))+"\n")
	return err
}

// printable quotes a value that would do something else to a terminal, or to the
// next line, than stand there. Two values never look the same.
func printable(s string) string {
	if fault.Printable(s) == s {
		return s
	}
	return strconv.Quote(s)
}

// newJSONEncoder returns an encoder that escapes what would do something to a
// terminal. JSON has such characters only in strings.
func newJSONEncoder(w io.Writer) *json.Encoder {
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
