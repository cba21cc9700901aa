package main

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"

	"golang.org/x/perf/benchunit"
)

// markdown is the whole report.
func (r *results) markdown(sections []section) []byte {
	var b bytes.Buffer
	b.WriteString("# secretref beside its peers\n\nWritten by `make bench`; do not edit.\n\n")
	r.machine(&b)
	r.legend(&b)
	r.overview(&b, sections)
	r.losses(&b, sections)
	for _, s := range sections {
		fmt.Fprintf(&b, "## %s\n\n%s\n\n", s.title, s.text)
		if s.limit != "" {
			fmt.Fprintf(&b, "The limit is %s.\n\n", s.limit)
		}
		for _, t := range s.tables {
			fmt.Fprintf(&b, "### %s\n\n", t.title)
			if r.absent(t) {
				fmt.Fprintf(&b, "Not measured: %s was %s.\n\n", t.needs, r.config["absent-"+t.needs])
				continue
			}
			r.table(&b, s, t)
		}
	}
	return append(bytes.TrimRight(b.Bytes(), "\n"), '\n')
}

func (r *results) machine(b *bytes.Buffer) {
	b.WriteString("| | |\n|---|---|\n")
	for _, line := range [][2]string{
		{"date", r.config["date"]},
		{"processor", r.config["cpu"]},
		{"system", r.config["system"]},
		{"Go", r.config["go"]},
		{"latency of the servers", r.config["latency"]},
		{"secretref", r.config["commit"]},
	} {
		fmt.Fprintf(b, "| %s | %s |\n", line[0], line[1])
	}
	for _, kind := range []string{"module-", "version-"} {
		var keys []string
		for key := range r.config {
			if strings.HasPrefix(key, kind) {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		for _, key := range keys {
			fmt.Fprintf(b, "| %s | %s |\n", strings.TrimPrefix(key, kind), r.config[key])
		}
	}
	b.WriteString("\n")
}

func (r *results) legend(b *bytes.Buffer) {
	fmt.Fprintf(b, "Each benchmark was run %s. The time is the median, the spread the interval in which the median lies with a confidence of 95 %%.\n"+
		"*× peer* is the time as a multiple of that of the fastest peer, *× limit* as a multiple of what the machine cannot do faster.\n"+
		"Rows of this library are bold; rows in italics are not peers: limits, code written by hand, and what does not do the same work.\n\n", times(r.count()))
}

// count is how often each benchmark was run.
func (r *results) count() (n int) {
	for _, row := range r.rows {
		n = max(n, len(row[seconds]))
	}
	return n
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// fastest returns the one with the smallest median among those in a role.
func (r *results) fastest(t table, in role) (who string, ok bool) {
	for _, candidate := range t.who {
		if roleOf(candidate) == in && (!ok || r.median(t.name(candidate), seconds) < r.median(t.name(who), seconds)) {
			who, ok = candidate, true
		}
	}
	return who, ok
}

// overview has one line for each work: ours beside the best of the others.
func (r *results) overview(b *bytes.Buffer, sections []section) {
	b.WriteString("## Overview\n\nThe fastest way that this library has for each work, beside the fastest peer.\n\n" +
		"| work | ours | | fastest peer | | × peer | × limit | calls, ours and the peer's |\n|---|---|--:|---|--:|--:|--:|---|\n")
	for _, s := range sections {
		for _, t := range s.tables {
			mine, ok := r.fastest(t, ours)
			if !ok || r.absent(t) {
				continue
			}
			cells := []string{s.title + ": " + t.title, mine, r.time(t.name(mine)), "–", "–", r.ratio(t, mine, peer), r.ratio(t, mine, limit), "–"}
			calls := r.calls(t.name(mine))
			if best, ok := r.fastest(t, peer); ok {
				cells[3], cells[4] = best, r.time(t.name(best))
				if calls != "" {
					calls += " and " + r.calls(t.name(best))
				}
			}
			if calls != "" {
				cells[7] = calls
			}
			fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
		}
	}
	b.WriteString("\n")
}

func (r *results) calls(name string) string {
	if len(r.rows[name][calls.unit]) == 0 {
		return ""
	}
	return format(r.median(name, calls.unit), calls.unit)
}

// enough is how many runs the statistics need for a confidence of 95 %.
const enough = 6

// losses lists every row of ours that a peer beats.
func (r *results) losses(b *bytes.Buffer, sections []section) {
	b.WriteString("## Where a peer is ahead\n\n")
	if r.count() < enough {
		b.WriteString("Too few runs to tell.\n\n")
		return
	}
	none := true
	for _, s := range sections {
		for _, t := range s.tables {
			best, ok := r.fastest(t, peer)
			if !ok || r.absent(t) {
				continue
			}
			for _, who := range t.who {
				if roleOf(who) == ours && r.behind(t.name(who), t.name(best)) {
					fmt.Fprintf(b, "- %s, %s: %s takes %s, %s × as long as %s.\n", s.title, t.title, who, r.time(t.name(who)), r.ratio(t, who, peer), best)
					none = false
				}
			}
		}
	}
	if none {
		b.WriteString("Nowhere, as far as these measurements can tell.\n")
	}
	b.WriteString("\n")
}

func (r *results) table(b *bytes.Buffer, s section, t table) {
	_, peers := r.fastest(t, peer)
	_, limits := r.fastest(t, limit)
	head, rule := []string{"", "time", "spread"}, []string{"---", "--:", "--:"}
	add := func(title string) { head, rule = append(head, title), append(rule, "--:") }
	if peers {
		add("× peer")
	}
	if limits {
		add("× limit")
	}
	for _, c := range s.of(t) {
		if r.has(t, c) {
			add(c.title)
		}
	}
	fmt.Fprintf(b, "| %s |\n|%s|\n", strings.Join(head, " | "), strings.Join(rule, "|"))

	for _, who := range t.who {
		name := t.name(who)
		cells := []string{label(who), r.time(name), r.spread(name)}
		if peers {
			cells = append(cells, r.ratio(t, who, peer))
		}
		if limits {
			cells = append(cells, r.ratio(t, who, limit))
		}
		for _, c := range s.of(t) {
			if !r.has(t, c) {
				continue
			}
			cell := "–"
			if len(r.rows[name][c.unit]) > 0 {
				cell = format(r.median(name, c.unit), c.unit)
			}
			cells = append(cells, cell)
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
	}
	b.WriteString("\n")
}

// has reports whether any row of the table has something in the column.
func (r *results) has(t table, c column) bool {
	return slices.ContainsFunc(t.who, func(who string) bool { return len(r.rows[t.name(who)][c.unit]) > 0 })
}

func label(who string) string {
	switch roleOf(who) {
	case ours:
		return "**" + who + "**"
	case peer:
		return who
	}
	_, rest, _ := strings.Cut(who, "-")
	return map[role]string{limit: "*limit: ", byHand: "*by hand: ", other: "*"}[roleOf(who)] + rest + "*"
}

func (r *results) time(name string) string { return format(r.median(name, seconds), seconds) }

func (r *results) spread(name string) string { return r.summary(name, seconds).PctRangeString() }

// ratio compares a row with the fastest of the table in a role.
func (r *results) ratio(t table, who string, to role) string {
	best, ok := r.fastest(t, to)
	if !ok {
		return "–"
	}
	ratio := r.median(t.name(who), seconds) / r.median(t.name(best), seconds)
	switch {
	case math.IsNaN(ratio) || math.IsInf(ratio, 0):
		return "–"
	case ratio >= 100:
		return fmt.Sprintf("%.0f", ratio)
	case ratio >= 10:
		return fmt.Sprintf("%.1f", ratio)
	}
	return fmt.Sprintf("%.2f", ratio)
}

// format writes a value with the prefix that suits it.
func format(value float64, unit string) string {
	switch unit {
	case seconds:
		return spaced(benchunit.Scale(value, benchunit.Decimal), "s")
	case "B/op", "heap-B/op", "size-B":
		return spaced(benchunit.Scale(value, benchunit.Binary), "B")
	}
	if value == math.Trunc(value) || unit == allocs.unit {
		return fmt.Sprintf("%.0f", value)
	}
	return fmt.Sprintf("%.1f", value)
}

// spaced puts the unit behind a number and its prefix, as in 1.50 ms.
func spaced(scaled, unit string) string {
	digits := strings.TrimRight(scaled, "munµpfkKMGTPi")
	return digits + " " + scaled[len(digits):] + unit
}
