package properties

// A lineReader returns the logical lines of a file, without comments and blank
// lines and with continued lines joined.
type lineReader struct {
	in   []byte
	off  int
	line int    // the physical line of in[off]
	buf  []byte // the logical line, reused

	pieces *[]piece // of the logical line; nil for Parse
	end    int      // of the text of the last physical line, its backslash included
}

// A piece of a logical line: buf[at:] comes from in[from:].
type piece struct{ at, from int }

// next returns a logical line, still escaped and valid until the next call, and its
// first physical line. It does not end in a single backslash.
func (l *lineReader) next() (logical []byte, line int, ok bool) {
	l.buf = l.buf[:0]
	begun := false // the logical line has begun, possibly with only a backslash
	for {
		l.skipBlank()
		if l.off == len(l.in) {
			// A continuation at the end of the file is a line to Java only if
			// it has text.
			return l.buf, line, len(l.buf) > 0
		}
		// As long as a continued line has no text, a comment in it is still a
		// comment.
		if c := l.in[l.off]; len(l.buf) == 0 && (c == '#' || c == '!' || isEOL(c)) {
			l.skipPhysical()
			begun = false
			if l.pieces != nil {
				*l.pieces = (*l.pieces)[:0]
			}
			continue
		}
		if !begun {
			begun, line = true, l.line
		}
		if continued := l.appendPhysical(); !continued {
			return l.buf, line, true
		}
	}
}

// appendPhysical adds the rest of the physical line to the buffer and skips its end.
// It reports whether the line is continued, and then drops the backslash.
func (l *lineReader) appendPhysical() (continued bool) {
	start, backslash := l.off, false
	for l.off < len(l.in) && !isEOL(l.in[l.off]) {
		backslash = l.in[l.off] == '\\' && !backslash
		l.off++
	}
	end := l.off
	if backslash {
		end--
	}
	if l.pieces != nil {
		*l.pieces = append(*l.pieces, piece{len(l.buf), start})
		l.end = l.off
	}
	l.buf = append(l.buf, l.in[start:end]...)
	// Java reads one character after the first of the line end. If the file ends
	// there, so does the logical line: a single backslash is then a pair of two
	// empty strings, but not before "\r\n".
	last := l.off+1 >= len(l.in)
	l.skipEOL()
	return backslash && !last
}

func (l *lineReader) skipBlank() {
	for l.off < len(l.in) && isBlank(l.in[l.off]) {
		l.off++
	}
}

// skipPhysical skips the rest of the physical line.
func (l *lineReader) skipPhysical() {
	for l.off < len(l.in) && !isEOL(l.in[l.off]) {
		l.off++
	}
	l.skipEOL()
}

// skipEOL skips one line end, if there is one.
func (l *lineReader) skipEOL() {
	if l.off == len(l.in) {
		return
	}
	if l.in[l.off] == '\r' && l.off+1 < len(l.in) && l.in[l.off+1] == '\n' {
		l.off++
	}
	l.off++
	l.line++
}

func isEOL(c byte) bool { return c == '\n' || c == '\r' }
