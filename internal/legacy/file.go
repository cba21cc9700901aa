package legacy

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode"

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

// shown returns a path as a message may have it. Who mistakes the member for
// the place of the key itself leaves hex or Base64 there, which has neither the
// separators nor the dots of a path.
func shown(path, full string) string {
	if len(path) > 1024 || strings.HasSuffix(path, "=") || len(path) >= 16 && !strings.ContainsAny(path, `/\._-`) {
		return "(not shown: it does not look like a path)"
	}
	return fmt.Sprintf("%q", full)
}
