package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"
)

// results is what the benchmarks said.
type results struct {
	rows   map[string]row    // by name, without "Benchmark" and the number of processors
	config map[string]string // the lines "key: value"
}

// row is one benchmark: the values of each unit, one for each time it was run.
type row map[string][]float64

// read parses the output of the benchmarks.
func read(in io.Reader, name string) (*results, error) {
	r := &results{rows: map[string]row{}, config: map[string]string{}}
	from := benchfmt.NewReader(in, name)
	for from.Scan() {
		switch record := from.Result().(type) {
		case *benchfmt.SyntaxError:
			return nil, record
		case *benchfmt.Result:
			r.add(record)
		}
	}
	if err := from.Err(); err != nil {
		return nil, err
	}
	if len(r.rows) == 0 {
		return nil, fmt.Errorf("%s has no results", name)
	}
	return r, nil
}

func (r *results) add(result *benchfmt.Result) {
	for _, c := range result.Config {
		r.config[c.Key] = string(c.Value)
	}
	base, parts := result.Name.Parts()
	name := string(base)
	for _, part := range parts {
		if part[0] == '/' { // and not the number of processors
			name += string(part)
		}
	}
	if r.rows[name] == nil {
		r.rows[name] = row{}
	}
	for _, v := range result.Values {
		r.rows[name][v.Unit] = append(r.rows[name][v.Unit], v.Value)
	}
}

// absent says that what a table needs was not installed.
func (r *results) absent(t table) bool { return t.needs != "" && r.config["absent-"+t.needs] != "" }

// filled takes out of the tables what was left out, and adds the slowest where
// they are shown: of the rows that were run in each round.
func (r *results) filled(sections []section) []section {
	leftOut := strings.Fields(r.config["left-out"])
	for _, s := range sections {
		for i := range s.tables {
			t := &s.tables[i]
			t.who = slices.DeleteFunc(slices.Clone(t.who), func(who string) bool { return slices.Contains(leftOut, t.name(who)) })
			if t.slowest == 0 {
				continue
			}
			var others []string
			for name, row := range r.rows {
				if who, ok := strings.CutPrefix(name, t.prefix+"/"); ok && !slices.Contains(t.who, who) && len(row[seconds]) == r.count() {
					others = append(others, who)
				}
			}
			slices.SortFunc(others, func(a, b string) int {
				return cmp.Or(cmp.Compare(r.median(t.name(b), seconds), r.median(t.name(a), seconds)), cmp.Compare(a, b))
			})
			t.who = join(t.who, others[:min(t.slowest, len(others))])
		}
	}
	return sections
}

// complete is an error unless there is each row that is expected, no other, and
// all were run equally often. Where the slowest are shown there may be others.
func (r *results) complete(sections []section) error {
	var errs []error
	expected := map[string]bool{}
	var open []string // prefixes
	count := 0
	for _, s := range sections {
		for _, t := range s.tables {
			if t.slowest > 0 {
				open = append(open, t.prefix)
			}
			for _, who := range t.who {
				name := t.name(who)
				expected[name] = true
				n := len(r.rows[name][seconds])
				switch {
				case r.absent(t) && n == 0:
					continue
				case n == 0:
					errs = append(errs, fmt.Errorf("there is no result of %s", name))
					continue
				case count == 0:
					count = n
				case n != count:
					errs = append(errs, fmt.Errorf("%s was run %d times, and others %d", name, n, count))
				}
				for _, c := range s.of(t) {
					if c.always && len(r.rows[name][c.unit]) != n {
						errs = append(errs, fmt.Errorf("%s has no %s", name, c.unit))
					}
				}
			}
		}
	}
	for name := range r.rows {
		if !expected[name] && !slices.ContainsFunc(open, func(prefix string) bool { return strings.HasPrefix(name, prefix+"/") }) {
			errs = append(errs, fmt.Errorf("no table has %s", name))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

const seconds = "sec/op"

// sample is the values of one unit, for the statistics.
func (r *results) sample(name, unit string) *benchmath.Sample {
	return benchmath.NewSample(slices.Clone(r.rows[name][unit]), &benchmath.DefaultThresholds)
}

// summary is the median and the interval that it lies in with 95 % confidence.
func (r *results) summary(name, unit string) benchmath.Summary {
	return benchmath.AssumeNothing.Summary(r.sample(name, unit), 0.95)
}

func (r *results) median(name, unit string) float64 { return r.summary(name, unit).Center }

// behind reports whether a is slower than b, beyond what chance explains.
func (r *results) behind(a, b string) bool {
	x, y := r.sample(a, seconds), r.sample(b, seconds)
	c := benchmath.AssumeNothing.Compare(x, y)
	return c.P < c.Alpha && r.median(a, seconds) > r.median(b, seconds)
}
