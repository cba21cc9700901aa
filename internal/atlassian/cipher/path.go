package cipher

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed74218947/secretref/internal/fault"
)

// maxFile limits the streams that are read, in bytes.
const maxFile = 1 << 20

// checkPath refuses text that cannot be a path.
func checkPath(origin, path string) error {
	if strings.HasPrefix(path, streamPrefix) {
		return fault.New(fault.Syntax,
			"%s is a serialized Java object, not the path of a file; a sealed object belongs in the field %q", origin, fieldSealed)
	}
	if strings.ContainsFunc(path, unicode.IsControl) {
		return fault.New(fault.Syntax, "%s contains a control character", origin)
	}
	return nil
}

// fileAt returns the file of a path, relative to dir.
func fileAt(dir, path string) File {
	if filepath.IsAbs(path) {
		return File{Path: path}
	}
	return File{Path: filepath.Join(dir, path), Relative: true}
}

// pathLabel returns a path for messages. It hides values that look like a password
// or key that was put in place of a path: a single word, hex or Base64, which can
// contain a slash but not begin with one.
func pathLabel(path, full string) string {
	otherThanBase64 := func(c rune) bool { return c >= utf8.RuneSelf || !inAlphabet(byte(c)) }
	encoded := len(path) >= 16 && path[0] != '/' && !strings.ContainsFunc(path, otherThanBase64) ||
		strings.HasSuffix(path, "=")
	if encoded || len(path) > 1024 || !strings.ContainsAny(path, `/\.`) {
		return "(not shown: it may not be a path)"
	}
	return fmt.Sprintf("%q", full)
}
