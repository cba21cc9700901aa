package set

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// tempMark is in the names of files that are not finished.
const tempMark = ".secretref-"

// createTemp makes a file beside the one it will become. Only we can open it.
func createTemp(dir, name string) (*os.File, error) {
	return os.CreateTemp(dir, "."+name+tempMark+"*")
}

// cleanTempFiles removes what killed runs have left behind, for it may hold a password,
// and returns the paths of what may be in use.
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
	if filepath.Separator == '\\' { // Windows quotes nothing, and forbids * and ?
		return path
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
