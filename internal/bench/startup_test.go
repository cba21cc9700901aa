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

var programsDir = flag.String("programs", "", "where the programs are built, and found again; empty: a temporary directory")

// program imports a library, and has nothing to do.
type program struct{ name, source, tags string }

var programs = []program{
	{"secretref", "secretref", ""},
	{"other-secretref-parse", "secretref-parse", ""},
	{"awssdk", "awssdk", ""},
	{"vaultapi", "vaultapi", ""},
	{"other-awssdk-vaultapi", "awssdk-vaultapi", ""},
	{"vals", "vals", ""},
	{"vals-aws-vault", "vals", "custom_providers,aws,vault"}, // its own way to leave the others out
	{"setec", "setec", ""},
	{"gocloud", "gocloud", ""},
	{"limit-empty", "empty", ""},
}

// BenchmarkStartup runs programs that import a library, and have nothing to do:
// what is left is what importing costs.
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

// BenchmarkInit is what the packages of these programs do before main begins,
// as the Go runtime traces it.
func BenchmarkInit(b *testing.B) {
	eachProgram(b, programs, func(b *testing.B, file string) {
		var runs []cost
		for b.Loop() {
			var all cost
			for _, c := range traced(b, file) {
				all = all.plus(c)
			}
			runs = append(runs, all)
		}
		report(b, runs)
	})
}

// BenchmarkInitPackage is what single packages do in the program that uses this
// library: those that allocate much, and this library's own together.
func BenchmarkInitPackage(b *testing.B) {
	const (
		own  = "github.com/seed74218947/secretref"
		much = 4 << 10 // bytes, which vary less than the time
	)
	eachProgram(b, programs[:1], func(b *testing.B, file string) {
		costs := map[string][]cost{}
		for range 20 {
			var ours cost
			for name, c := range traced(b, file) {
				if name == own || strings.HasPrefix(name, own+"/") {
					ours = ours.plus(c)
				}
				if c.bytes >= much {
					costs[name] = append(costs[name], c)
				}
			}
			costs["secretref"] = append(costs["secretref"], ours)
		}
		for _, name := range slices.Sorted(maps.Keys(costs)) {
			b.Run("other-"+name, func(b *testing.B) {
				for b.Loop() {
				}
				report(b, costs[name])
			})
		}
	})
}

// eachProgram builds the programs, if they are not there.
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
			build := exec.Command("go", "build", "-ldflags", "-s -w", "-tags", p.tags, "-o", file, "./programs/"+p.source)
			if out, err := build.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
			run(b, file)
		})
	}
}

// cost is what the initialisation of packages costs.
type cost struct {
	packages         int
	milliseconds     float64
	bytes, allocated int
}

func (c cost) plus(d cost) cost {
	return cost{c.packages + d.packages, c.milliseconds + d.milliseconds, c.bytes + d.bytes, c.allocated + d.allocated}
}

// traced runs a program and returns what each of its packages cost.
func traced(b *testing.B, file string) map[string]cost {
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
		if _, err := fmt.Sscanf(string(line), "init %s @%f ms, %f ms clock, %d bytes, %d allocs", &name, &at, &c.milliseconds, &c.bytes, &c.allocated); err != nil {
			b.Fatalf("%v: %s", err, line)
		}
		costs[name] = costs[name].plus(c)
	}
	return costs
}

// report gives out the run in the middle.
func report(b *testing.B, runs []cost) {
	slices.SortFunc(runs, func(c, d cost) int { return cmp.Compare(c.milliseconds, d.milliseconds) })
	median := runs[len(runs)/2]
	b.ReportAllocs()
	const half = 500 // ns: less than a microsecond is traced as nothing, which would not be printed
	b.ReportMetric(max(median.milliseconds*1e6, half), "ns/op")
	b.ReportMetric(float64(median.bytes), "B/op")
	b.ReportMetric(float64(median.allocated), "allocs/op")
	b.ReportMetric(float64(median.packages), "packages")
}
