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
func (r *lineReader) next() (logical []byte, line int, ok bool) {
	r.buf = r.buf[:0]
	begun := false // the logical line has begun, possibly with only a backslash
	for {
		r.skipBlank()
		if r.off == len(r.in) {
			// A continuation at the end of the file is a line to Java only if
			// it has text.
			return r.buf, line, len(r.buf) > 0
		}
		// As long as a continued line has no text, a comment in it is still a
		// comment.
		if c := r.in[r.off]; len(r.buf) == 0 && (c == '#' || c == '!' || isEOL(c)) {
			r.skipPhysical()
			begun = false
			if r.pieces != nil {
				*r.pieces = (*r.pieces)[:0]
			}
			continue
		}
		if !begun {
			begun, line = true, r.line
		}
		if continued := r.appendPhysical(); !continued {
			return r.buf, line, true
		}
	}
}

// appendPhysical adds the rest of the physical line to the buffer and skips its end.
// It reports whether the line is continued, and then drops the backslash.
func (r *lineReader) appendPhysical() (continued bool) {
	start, backslash := r.off, false
	for r.off < len(r.in) && !isEOL(r.in[r.off]) {
		backslash = r.in[r.off] == '\\' && !backslash
		r.off++
	}
	end := r.off
	if backslash {
		end--
	}
	if r.pieces != nil {
		*r.pieces = append(*r.pieces, piece{len(r.buf), start})
		r.end = r.off
	}
	r.buf = append(r.buf, r.in[start:end]...)
	// Java reads one character after the first of the line end. If the file ends
	// there, so does the logical line: a single backslash is then a pair of two
	// empty strings, but not before "\r\n".
	last := r.off+1 >= len(r.in)
	r.skipEOL()
	return backslash && !last
}

func (r *lineReader) skipBlank() {
	for r.off < len(r.in) && isBlank(r.in[r.off]) {
		r.off++
	}
}

// skipPhysical skips the rest of the physical line.
func (r *lineReader) skipPhysical() {
	for r.off < len(r.in) && !isEOL(r.in[r.off]) {
		r.off++
	}
	r.skipEOL()
}

// skipEOL skips one line end, if there is one.
func (r *lineReader) skipEOL() {
	if r.off == len(r.in) {
		return
	}
	if r.in[r.off] == '\r' && r.off+1 < len(r.in) && r.in[r.off+1] == '\n' {
		r.off++
	}
	r.off++
	r.line++
}

func isEOL(c byte) bool { return c == '\n' || c == '\r' }
