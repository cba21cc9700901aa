package properties

// A lineReader yields the logical lines of a file: comments and blank lines
// left out, continued lines joined.
type lineReader struct {
	in   []byte
	off  int
	line int    // the physical line of in[off]
	buf  []byte // the logical line, reused

	pieces *[]piece // of the logical line, if somebody wants to know
	end    int      // of the text of the last natural line, its backslash included
}

// A piece of a logical line: buf[at:] comes from in[from:].
type piece struct{ at, from int }

// next returns a logical line, still escaped and valid until the next call,
// and the physical line it begins on. It never ends in a lone backslash.
func (r *lineReader) next() (logical []byte, line int, ok bool) {
	r.buf = r.buf[:0]
	begun := false // the logical line has a beginning, if only a backslash
	for {
		r.skipBlank()
		if r.off == len(r.in) {
			// What is left of a continuation at the end of the file is a line
			// to Java only if it has text.
			return r.buf, line, len(r.buf) > 0
		}
		// A continuation that has brought no text yet is still a fresh line:
		// comments count as comments in it.
		if c := r.in[r.off]; len(r.buf) == 0 && (c == '#' || c == '!' || isEOL(c)) {
			r.skipNatural()
			begun = false
			if r.pieces != nil {
				*r.pieces = (*r.pieces)[:0]
			}
			continue
		}
		if !begun {
			begun, line = true, r.line
		}
		if continued := r.appendNatural(); !continued {
			return r.buf, line, true
		}
	}
}

// appendNatural adds the rest of the physical line to the buffer and consumes
// its end. It reports whether the line goes on, having dropped the backslash
// that said so.
func (r *lineReader) appendNatural() (continued bool) {
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
	// Java looks one character past the first of the line end: if the file is
	// over there, so is the logical line. A lone backslash then makes a pair
	// of two empty strings, which it does not do before "\r\n".
	last := r.off+1 >= len(r.in)
	r.skipEOL()
	return backslash && !last
}

func (r *lineReader) skipBlank() {
	for r.off < len(r.in) && isBlank(r.in[r.off]) {
		r.off++
	}
}

// skipNatural skips the rest of the physical line.
func (r *lineReader) skipNatural() {
	for r.off < len(r.in) && !isEOL(r.in[r.off]) {
		r.off++
	}
	r.skipEOL()
}

// skipEOL consumes one line end, if there is one.
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
