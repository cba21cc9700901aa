package main

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

const goFile = `// Package p is told
// of things.
package p

import "a b c"

//go:generate who is told

/* Whoever
reads it. */
type T struct {
	A, b int ` + "`json:\"who is this\"`" + `
}

func (t *T) M() string { return "nobody is here" }

func (t *T) m() string { return "whoever" } // one word is no message

type G[K any] struct{}

func (G[K]) N() {}

const C, c = 1, 2
`

// The first line has 100 columns, the second one 101.
var longLines = "package a // é" + strings.Repeat("x", 86) + "\n// " +
	strings.Repeat("y", 98) + "\n"

const document = "# What is it\n\nSomebody stands\nat the door.\n\n```\nwhoever\n```\n"

func readTest(t *testing.T, files fstest.MapFS) *sources {
	t.Helper()
	s, err := read(files)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRead(t *testing.T) {
	s := readTest(t, fstest.MapFS{
		"p.go":                 {Data: []byte(goFile)},
		"README.md":            {Data: []byte(document)},
		"a/testdata/x.go":      {Data: []byte("no Go")},
		"a/long_test.go":       {Data: []byte(longLines)},
		".git/HEAD.md":         {Data: []byte("whoever")},
		"internal/q/q_test.go": {Data: []byte("package q\n\nvar _ = \"a message of tests\"\n")},
	})
	if want := (exported{declared: 3, methods: 2, fields: 1}); s.exported != want {
		t.Errorf("exported identifiers: %+v, want %+v", s.exported, want)
	}
	if s.readmeWords != 12 {
		t.Errorf("%d words in README.md", s.readmeWords)
	}
	overlong := 0
	for _, f := range s.files {
		overlong += f.overlong
	}
	if len(s.files) != 3 || overlong != 1 {
		t.Errorf("files: %+v", s.files)
	}
	var texts []string
	for _, p := range s.passages {
		texts = append(texts, string(p.kind)+": "+strings.Join(strings.Fields(p.text), " "))
	}
	want := []string{
		"documents: # What is it",
		"documents: Somebody stands at the door.",
		"comments of tests: é" + strings.Repeat("x", 86),
		"comments of tests: " + strings.Repeat("y", 98),
		"comments: Package p is told of things.",
		"comments:",
		"comments: Whoever reads it.",
		"comments: one word is no message",
		"messages: nobody is here",
	}
	for i := range texts {
		texts[i] = strings.TrimSpace(texts[i])
	}
	if !reflect.DeepEqual(texts, want) {
		t.Errorf("passages:\n%s\nwant:\n%s", strings.Join(texts, "\n"), strings.Join(want, "\n"))
	}
}

func TestCheck(t *testing.T) {
	s := readTest(t, fstest.MapFS{"p.go": {Data: []byte(goFile)}, "d.md": {Data: []byte(document)}})
	for _, test := range []struct {
		name       string
		exceptions []exception
		want       []string
	}{
		{"finds expressions across lines", nil, []string{
			`d.md:3: "stands at": Somebody stands`,
			`p.go:1: "is told": Package p is told`,
			`p.go:9: "Whoever": Whoever`,
		}},
		{"excuses a line", []exception{{"p.go", "Package p", "a test"}}, []string{
			`d.md:3: "stands at": Somebody stands`,
			`p.go:9: "Whoever": Whoever`,
		}},
		{"reports an exception without use", []exception{{"d.md", "Package p", "a test"}}, []string{
			`d.md:3: "stands at": Somebody stands`,
			`p.go:1: "is told": Package p is told`,
			`p.go:9: "Whoever": Whoever`,
			`d.md: no forbidden expression on a line with "Package p": remove the exception`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := check(s.passages, test.exceptions); !reflect.DeepEqual(got, test.want) {
				t.Errorf("%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}
