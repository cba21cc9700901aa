package set

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// tempMark is part of the names of temporary files.
const tempMark = ".secretref-"

// createTemp creates a temporary file for the file name in dir, with mode 0600.
func createTemp(dir, name string) (*os.File, error) {
	return os.CreateTemp(dir, "."+name+tempMark+"*")
}

// cleanTempFiles removes the temporary files of killed runs, since they may contain a
// password. It returns the paths of those that may still be in use.
func cleanTempFiles(dir, name string) (left []string) {
	found, _ := filepath.Glob(filepath.Join(quoteGlob(dir), quoteGlob("."+name+tempMark)+"*"))
	for _, path := range found {
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if time.Since(info.ModTime()) <= time.Hour || os.Remove(path) != nil {
			left = append(left, path)
		}
	}
	return left
}

func quoteGlob(path string) string {
	if filepath.Separator == '\\' { // Windows has no quoting and forbids * and ? in names
		return path
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
