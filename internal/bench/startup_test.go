package bench

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var programsDir = flag.String("programs", "",
	"directory for the programs, which are kept; default: a temporary directory")

// program imports a library and does nothing else.
type program struct{ name, source, tags string }

var programs = []program{
	{"secretref", "secretref", ""},
	{"other-secretref-parse", "secretref-parse", ""},
	{"awssdk", "awssdk", ""},
	{"vaultapi", "vaultapi", ""},
	{"other-awssdk-vaultapi", "awssdk-vaultapi", ""},
	{"vals", "vals", ""},
	{"vals-aws-vault", "vals", "custom_providers,aws,vault"}, // its own build tags to select backends
	{"setec", "setec", ""},
	{"gocloud", "gocloud", ""},
	{"limit-empty", "empty", ""},
}

// BenchmarkStartup runs programs that import a library and do nothing else.
func BenchmarkStartup(b *testing.B) {
	eachProgram(b, programs, func(b *testing.B, file string) {
		for b.Loop() {
			if out, err := exec.Command(file).CombinedOutput(); err != nil || len(out) > 0 {
				b.Fatalf("%v: %s", err, out)
			}
		}
		info, err := os.Stat(file)
		if err != nil {
			b.Fatal(err)
		}
		built, err := buildinfo.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size()), "size-B")
		b.ReportMetric(float64(len(built.Deps)), "modules")
	})
}

// BenchmarkInit reports the initialization of all packages of these programs, as traced by the Go
// runtime.
func BenchmarkInit(b *testing.B) {
	eachProgram(b, programs, func(b *testing.B, file string) {
		var runs []cost
		for b.Loop() {
			var all cost
			for _, c := range initCosts(b, file) {
				all = all.plus(c)
			}
			runs = append(runs, all)
		}
		reportMedian(b, runs)
	})
}

// BenchmarkInitPackage reports the initialization of single packages in the program that imports
// this library: those that allocate much, and the library's own packages together.
func BenchmarkInitPackage(b *testing.B) {
	const (
		module   = "github.com/seed74218947/secretref"
		minBytes = 4 << 10 // the bytes vary less than the time
	)
	eachProgram(b, programs[:1], func(b *testing.B, file string) {
		costs := map[string][]cost{}
		for range 20 {
			var library cost
			for name, c := range initCosts(b, file) {
				if name == module || strings.HasPrefix(name, module+"/") {
					library = library.plus(c)
				}
				if c.bytes >= minBytes {
					costs[name] = append(costs[name], c)
				}
			}
			costs["secretref"] = append(costs["secretref"], library)
		}
		for _, name := range slices.Sorted(maps.Keys(costs)) {
			b.Run("other-"+name, func(b *testing.B) {
				for b.Loop() {
				}
				reportMedian(b, costs[name])
			})
		}
	})
}

// eachProgram builds the programs and runs a benchmark with each.
func eachProgram(b *testing.B, programs []program, run func(b *testing.B, file string)) {
	dir := *programsDir
	if dir == "" {
		dir = b.TempDir()
	}
	for _, p := range programs {
		if p.name == "vals" && testing.Short() {
			continue // with all its backends it takes minutes to build
		}
		b.Run(p.name, func(b *testing.B) {
			file := filepath.Join(dir, p.name)
			build := exec.Command("go", "build", "-ldflags", "-s -w", "-tags", p.tags, "-o", file,
				"./programs/"+p.source)
			if out, err := build.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
			run(b, file)
		})
	}
}

// cost is the cost of initializing packages.
type cost struct {
	packages         int
	milliseconds     float64
	bytes, allocated int
}

func (c cost) plus(d cost) cost {
	return cost{c.packages + d.packages, c.milliseconds + d.milliseconds, c.bytes + d.bytes,
		c.allocated + d.allocated}
}

// initCosts runs a program and returns the cost of each package.
func initCosts(b *testing.B, file string) map[string]cost {
	cmd := exec.Command(file)
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	costs := map[string]cost{}
	for line := range bytes.Lines(out) {
		var name string
		var at float64
		c := cost{packages: 1}
		if _, err := fmt.Sscanf(string(line), "init %s @%f ms, %f ms clock, %d bytes, %d allocs", &name,
			&at, &c.milliseconds, &c.bytes, &c.allocated); err != nil {
			b.Fatalf("%v: %s", err, line)
		}
		costs[name] = costs[name].plus(c)
	}
	return costs
}

// reportMedian reports the median run.
func reportMedian(b *testing.B, runs []cost) {
	slices.SortFunc(runs, func(c, d cost) int { return cmp.Compare(c.milliseconds, d.milliseconds) })
	median := runs[len(runs)/2]
	b.ReportAllocs()
	// ns; the trace rounds less than a microsecond to 0, which would not be printed
	const minTime = 500
	b.ReportMetric(max(median.milliseconds*1e6, minTime), "ns/op")
	b.ReportMetric(float64(median.bytes), "B/op")
	b.ReportMetric(float64(median.allocated), "allocs/op")
	b.ReportMetric(float64(median.packages), "packages")
}
