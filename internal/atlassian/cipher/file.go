package cipher

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed74218947/secretref/internal/fault"
)

// maxFile is the size of the largest stream that is read, in bytes.
const maxFile = 1 << 20

// checkPath refuses what cannot be a path.
func checkPath(origin, path string) error {
	if strings.HasPrefix(path, streamPrefix) {
		return fault.New(fault.Syntax, "%s holds a serialized Java object, not the path of a file; a sealed object can stand in the field %q", origin, fieldSealed)
	}
	if strings.ContainsFunc(path, unicode.IsControl) {
		return fault.New(fault.Syntax, "%s holds a control character", origin)
	}
	return nil
}

// fileAt is where a path leads that stands in a file in dir.
func fileAt(dir, path string) File {
	if filepath.IsAbs(path) {
		return File{Path: path}
	}
	return File{Path: filepath.Join(dir, path), Relative: true}
}

// shown returns a path as a message may have it. Who mistakes the member for the
// place of the password or the key itself leaves a word there, or hex or Base64,
// in which there can be a slash, but not in front.
func shown(path, full string) string {
	stranger := func(c rune) bool { return c >= utf8.RuneSelf || !inAlphabet(byte(c)) }
	encoded := len(path) >= 16 && path[0] != '/' && !strings.ContainsFunc(path, stranger) || strings.HasSuffix(path, "=")
	if encoded || len(path) > 1024 || !strings.ContainsAny(path, `/\.`) {
		return "(not shown: it may not be a path)"
	}
	return fmt.Sprintf("%q", full)
}
