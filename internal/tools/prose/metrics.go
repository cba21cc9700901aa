package main

import (
	"regexp"
	"strings"
)

// A metric counts an expression that makes sentences hard to read when it is frequent.
type metric struct {
	name    string
	pattern *regexp.Regexp
}

var metrics = []metric{
	{"who", words(`who|whoever`)},
	{"what is", words(`what (is|are|was|were|has|have|had)`)},
	{"what", words(`what`)},
	{"tell", words(`tells?|told|telling`)},
	{"nobody", words(`nobody|somebody`)},
	{"behind", words(`behind`)},
}

// words compiles a pattern of whole words in any letter case. A space also matches a line break.
func words(pattern string) *regexp.Regexp {
	pattern = strings.ReplaceAll(pattern, " ", `\s+`)
	return regexp.MustCompile(`(?i)\b(?:` + pattern + `)\b`)
}
