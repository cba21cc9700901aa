package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden file anew")

// few is a plan for what testdata/results.txt has.
func few() []section {
	columns := []column{calls, allocs}
	return []section{{
		title: "Reading", text: "What is read.", limit: "a scan", columns: columns,
		tables: []table{
			{title: "Small", prefix: "Read/small", who: []string{"secretref", "slow", "slower", "limit-scan"}},
			{title: "Large", prefix: "Read/large", who: []string{"secretref", "slow"}},
			{title: "In a database", prefix: "Read/database", who: []string{"secretref", "slow"}, needs: "adatabase"},
			{title: "By package", prefix: "Package", who: []string{"other-secretref"}, slowest: 2, columns: []column{allocs}},
		},
	}}
}

func canned(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/results.txt")
	require.NoError(t, err)
	return string(text)
}

func parse(t *testing.T, text string) *results {
	t.Helper()
	r, err := read(strings.NewReader(text), "canned")
	require.NoError(t, err)
	return r
}

func TestTheReportIsMadeOfTheOutputOfBenchmarks(t *testing.T) {
	r := parse(t, canned(t))
	sections := r.filled(few())
	require.NoError(t, r.complete(sections))
	got := r.markdown(sections)
	golden := filepath.Join("testdata", "report.golden.md")
	if *update {
		require.NoError(t, os.WriteFile(golden, got, 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

// What is checked in is what these results say.
func TestTheReportInTheRepositoryIsThatOfItsResults(t *testing.T) {
	raw, err := os.ReadFile("../results.txt")
	require.NoError(t, err)
	files, err := report(raw)
	require.NoError(t, err)
	require.Len(t, files, 3)
	for name, text := range files {
		there, err := os.ReadFile(filepath.Join("..", name))
		require.NoError(t, err)
		require.True(t, bytes.Equal(there, text), "%s is of other results: go run ./report -from results.txt", name)
	}
}

func TestTheMedianIsTakenOfAllRuns(t *testing.T) {
	r := parse(t, canned(t))
	require.InDelta(t, 2000e-9, r.median("Read/small/secretref", seconds), 1e-12)
	require.Equal(t, "2.00", r.ratio(few()[0].tables[0], "secretref", limit))
	require.Equal(t, "0.50", r.ratio(few()[0].tables[0], "secretref", peer))
}

func TestTheSlowestThatWereAlwaysMeasuredAreShown(t *testing.T) {
	r := parse(t, canned(t))
	require.Len(t, r.rows["Package/other-example.com/seldom"][seconds], 5)
	tables := r.filled(few())[0].tables
	require.Equal(t, []string{"other-secretref", "other-example.com/a-2/slowest", "other-example.com/slow"}, tables[len(tables)-1].who)
}

func TestWhatWasLeftOutIsNotMissing(t *testing.T) {
	without := strings.ReplaceAll(canned(t), "BenchmarkRead/small/slower-2", "ignored")
	r := parse(t, without)
	require.ErrorContains(t, r.complete(r.filled(few())), "Read/small/slower")
	r = parse(t, "left-out: Read/small/slower\n"+without)
	sections := r.filled(few())
	require.NoError(t, r.complete(sections))
	require.NotContains(t, string(r.markdown(sections)), "slower")
}

func TestAReportThatLacksSomethingIsNotMade(t *testing.T) {
	const slow = "BenchmarkRead/small/slow-2"
	for name, c := range map[string]struct {
		change func(string) string
		say    string
	}{
		"a row is missing": {
			func(s string) string { return strings.ReplaceAll(s, slow, "ignored") },
			"there is no result of Read/small/slow",
		},
		"a row was run less often": {
			func(s string) string { return strings.Replace(s, slow, "ignored", 1) },
			"Read/small/slow was run 5 times, and others 6",
		},
		"a row is not expected": {
			func(s string) string { return strings.ReplaceAll(s, slow, "BenchmarkRead/small/slow-new-2") },
			"no table has Read/small/slow-new",
		},
		"a row does not count its calls": {
			func(s string) string { return strings.Replace(s, "2.000 calls/op", "2.000 shouts/op", 1) },
			"Read/small/slow has no calls/op",
		},
		"a database is missing, and nobody said so": {
			func(s string) string { return strings.ReplaceAll(s, "absent-adatabase", "present-adatabase") },
			"there is no result of Read/database/secretref",
		},
	} {
		t.Run(name, func(t *testing.T) {
			text := c.change(canned(t))
			require.NotEqual(t, canned(t), text)
			require.ErrorContains(t, parse(t, text).complete(few()), c.say)
		})
	}
}

func TestOutputThatIsNotThatOfBenchmarksIsRefused(t *testing.T) {
	for _, text := range []string{"", "PASS\n", "BenchmarkRead/small/secretref-2 1000 many ns/op\n"} {
		_, err := read(strings.NewReader(text), "canned")
		require.Error(t, err, "%q", text)
	}
}

// everything is results for all that the report expects.
func everything() string {
	var b bytes.Buffer
	for range enough {
		for _, s := range sections() {
			for _, t := range s.tables {
				for i, who := range t.who {
					fmt.Fprintf(&b, "Benchmark%s-2 10 %d ns/op", t.name(who), 1000+100*i)
					for _, c := range s.of(t) {
						fmt.Fprintf(&b, " 3 %s", c.unit)
					}
					b.WriteString("\n")
				}
			}
		}
	}
	return b.String()
}

func TestReportAndPlotsAreWrittenTogether(t *testing.T) {
	raw, dir := filepath.Join(t.TempDir(), "raw"), t.TempDir()
	require.NoError(t, os.WriteFile(raw, []byte(everything()), 0o600))
	require.NoError(t, options{count: 1, from: raw, out: dir}.run(t.Context()))
	for file, begin := range map[string]string{"RESULTS.md": "# secretref", "references.svg": "<?xml", "rotation.svg": "<?xml"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(text), begin), file)
	}
}

func TestNothingIsWrittenWhenARowIsMissing(t *testing.T) {
	raw, dir := filepath.Join(t.TempDir(), "raw"), t.TempDir()
	text := strings.ReplaceAll(everything(), "BenchmarkRotate/file/1000/secretref-2", "ignored")
	require.NoError(t, os.WriteFile(raw, []byte(text), 0o600))
	require.ErrorContains(t, options{count: 1, from: raw, out: dir}.run(t.Context()), "file/1000")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestTheFiguresShowOnlyWhatTheReportExpects(t *testing.T) {
	expected := map[string]bool{}
	for _, s := range sections() {
		for _, t := range s.tables {
			for _, who := range t.who {
				expected[t.name(who)] = true
			}
		}
	}
	for _, f := range plots() {
		for _, c := range f.curves {
			for _, size := range c.sizes {
				name := fmt.Sprintf(c.name, size)
				require.True(t, expected[name], name)
			}
		}
	}
}
