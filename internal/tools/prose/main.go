// Command prose counts what makes the text of this repository hard to read, and what makes its code
// hard to survey:
//
//	go run ./prose [-v] [ROOT]   the counts; with -v also every place, by area
//	go run ./prose -check ROOT   only the closed list of forbidden.go; fails if one is found
//
// The counts are metrics without a limit. A sentence may need a word that is counted.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"
)

func main() {
	verbose := flag.Bool("v", false, "also print every place that was counted, by area")
	only := flag.Bool("check", false, "only look for forbidden expressions, and fail if there is one")
	flag.Parse()
	root := "../.."
	if flag.NArg() > 0 {
		root = flag.Arg(0)
	}
	repository := os.DirFS(root)
	sources, err := read(repository)
	if err != nil {
		fmt.Fprintln(os.Stderr, "prose:", err)
		os.Exit(1)
	}
	if *only {
		violations := check(sources.passages, allowed)
		for _, v := range violations {
			fmt.Println(v)
		}
		if len(violations) > 0 {
			fmt.Println("the list, and the exceptions from it, are in internal/tools/prose")
			os.Exit(1)
		}
		return
	}
	printCode(os.Stdout, sources)
	printWords(os.Stdout, sources.passages)
	if *verbose {
		printPlaces(os.Stdout, sources.passages)
	}
}

func printCode(out io.Writer, s *sources) {
	var longest source
	rootFiles := 0
	long, lines := 0, 0
	tooLong := 0
	for _, f := range s.files {
		long, lines = long+f.overlong, lines+f.lines
		if f.lines > maxFileLines {
			tooLong++
		}
		if f.area() == "." && !f.test() {
			rootFiles++
			if f.lines > longest.lines {
				longest = f
			}
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	e := s.exported
	fmt.Fprintf(w,
		"exported identifiers of the root package\t%d: %d declared, %d methods, %d fields\n",
		e.declared+e.methods+e.fields, e.declared, e.methods, e.fields)
	fmt.Fprintf(w, "files of the root package, without tests\t%d, longest %s: %d lines\n",
		rootFiles, longest.name, longest.lines)
	fmt.Fprintf(w, "Go files of more than %d lines\t%d of %d\n", maxFileLines, tooLong, len(s.files))
	fmt.Fprintf(w, "lines of more than %d columns\t%.1f %% (%d of %d)\n",
		maxColumns, 100*float64(long)/float64(max(lines, 1)), long, lines)
	fmt.Fprintf(w, "words of README.md\t%d\n", s.readmeWords)
}

func printWords(out io.Writer, passages []passage) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	fmt.Fprint(w, "\nper 1000 words\t")
	for _, m := range metrics {
		fmt.Fprint(w, m.name, "\t")
	}
	fmt.Fprintln(w, "words\t")
	for _, k := range kinds {
		words := 0
		counts := make([]int, len(metrics))
		for _, p := range passages {
			if p.kind != k {
				continue
			}
			words += p.words()
			for i, m := range metrics {
				counts[i] += len(p.find(m.pattern))
			}
		}
		fmt.Fprint(w, k, "\t")
		for _, n := range counts {
			fmt.Fprintf(w, "%.2f\t", 1000*float64(n)/float64(max(words, 1)))
		}
		fmt.Fprintf(w, "%d\t\n", words)
	}
}

// printPlaces lists every place that a metric counts, the areas with most first.
func printPlaces(out io.Writer, passages []passage) {
	byArea := map[string][]string{}
	for _, p := range passages {
		for _, m := range metrics {
			for _, found := range p.find(m.pattern) {
				byArea[p.area()] = append(byArea[p.area()],
					fmt.Sprintf("%s: %s: %s", found.position, m.name, found.line))
			}
		}
	}
	areas := slices.SortedFunc(maps.Keys(byArea), func(a, b string) int {
		return cmp.Or(len(byArea[b])-len(byArea[a]), cmp.Compare(a, b))
	})
	for _, area := range areas {
		fmt.Fprintf(out, "\n%s: %d\n", area, len(byArea[area]))
		for _, line := range byArea[area] {
			fmt.Fprintln(out, "\t"+line)
		}
	}
}
