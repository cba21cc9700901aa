package bench

import (
	"debug/buildinfo"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var programsDir = flag.String("programs", "", "where the programs are built, and found again; empty: a temporary directory")

// BenchmarkStartup runs programs that import a library, and have nothing to do:
// what is left is what importing costs.
func BenchmarkStartup(b *testing.B) {
	dir := *programsDir
	if dir == "" {
		dir = b.TempDir()
	}
	for _, p := range []struct{ name, source, tags string }{
		{"secretref", "secretref", ""},
		{"other-secretref-parse", "secretref-parse", ""},
		{"awssdk", "awssdk", ""},
		{"vaultapi", "vaultapi", ""},
		{"vals", "vals", ""},
		{"vals-aws-vault", "vals", "custom_providers,aws,vault"}, // its own way to leave the others out
		{"setec", "setec", ""},
		{"gocloud", "gocloud", ""},
		{"limit-empty", "empty", ""},
	} {
		b.Run(p.name, func(b *testing.B) {
			program := filepath.Join(dir, p.name)
			build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", p.tags, "-o", program, "./programs/"+p.source)
			if out, err := build.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
			for b.Loop() {
				if out, err := exec.Command(program).CombinedOutput(); err != nil || len(out) > 0 {
					b.Fatalf("%v: %s", err, out)
				}
			}
			info, err := os.Stat(program)
			if err != nil {
				b.Fatal(err)
			}
			built, err := buildinfo.ReadFile(program)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(info.Size()), "size-B")
			b.ReportMetric(float64(len(built.Deps)), "modules")
		})
	}
}
