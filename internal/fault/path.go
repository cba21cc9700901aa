package fault

import "strings"

// SafePath returns path as a message may show it. A variable that wants the path of
// a token's file at times holds the token itself, which has no separator.
func SafePath(path string) string {
	if !strings.ContainsAny(path, `/\`) || strings.Contains(path, "eyJ") || strings.Contains(path, "hvs.") || len(path) > 1024 {
		return "(not shown: it does not look like a path)"
	}
	return path
}
