package main

import (
	"fmt"
	"regexp"
	"strings"
)

// forbidden is the closed list of expressions that are never plain English in this repository.
// Add one only if every place that has it reads better without it.
var forbidden = []*regexp.Regexp{
	words(`nil: nobody`),
	words(`of then`),
	words(`mends?|mended`),
	words(`whoever`),
	words(`stands? at`),
	words(`in the\s+place of`),
	words(`comes? to hand`),
	words(`(is|are) told`),
}

// allowed are the places where an expression of the list stays.
var allowed = []exception{}

// An exception excuses the lines of a file that contain text.
type exception struct{ file, text, reason string }

// check returns the forbidden expressions, and the exceptions that excuse none, as lines to print.
func check(passages []passage, exceptions []exception) []string {
	var violations []string
	used := make([]bool, len(exceptions))
	for _, p := range passages {
		for _, expression := range forbidden {
			for _, m := range p.find(expression) {
				excused := false
				for i, e := range exceptions {
					if p.name == e.file && strings.Contains(m.line, e.text) {
						used[i], excused = true, true
					}
				}
				if !excused {
					violations = append(violations, fmt.Sprintf("%s: %q: %s", m.position, m.text, m.line))
				}
			}
		}
	}
	for i, e := range exceptions {
		if !used[i] {
			violations = append(violations, fmt.Sprintf(
				"%s: no forbidden expression on a line with %q: remove the exception", e.file, e.text))
		}
	}
	return violations
}
