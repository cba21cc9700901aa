package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// tags leave out the dozens of backends of vals that nothing here uses: the
// test binary builds in a fraction of the time, and asks as fast. The start-up
// benchmark builds vals as it comes.
const tags = "custom_providers,aws,vault"

// phase is some of the benchmarks, and how long each of them is run.
type phase struct {
	bench, length string
	repeat        bool // one process repeats them, since their preparation takes long
}

var phases = []phase{
	{bench: "^Benchmark(Resolve|Mixed)$", length: "200ms"},
	{bench: "^Benchmark(Warm|Pointer|Seal|Open|Properties)$", length: "100ms"},
	{bench: "^Benchmark(Startup|Init|InitPackage)$", length: "20x"},
	{bench: "^BenchmarkRotate$", length: "1x", repeat: true},
}

// measure runs all phases, and adds what they say to the file as they say it.
// Rounds rather than repetitions: when the machine has a slow minute, all
// contenders have it.
func (o options) measure(ctx context.Context, raw string) (err error) {
	dir, err := os.MkdirTemp("", "secretref-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "bench.test")
	say("building the benchmarks")
	if err := command(ctx, os.Stderr, "go", "test", "-c", "-tags", tags, "-o", binary, "."); err != nil {
		return err
	}
	out, err := os.Create(raw)
	if err != nil {
		return err
	}
	defer func() {
		if closed := out.Close(); err == nil {
			err = closed
		}
	}()
	head, err := o.header(ctx)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, head); err != nil {
		return err
	}

	run := func(p phase, count int) error {
		length := p.length
		if o.quick {
			length = "1x"
		}
		return command(ctx, out, binary, "-test.run=^$", "-test.timeout=1h", "-test.bench="+p.bench, "-test.benchtime="+length,
			fmt.Sprintf("-test.count=%d", count), fmt.Sprintf("-test.short=%t", o.quick), "-latency="+o.latency.String(), "-programs="+dir)
	}
	count := o.count
	if o.quick {
		count = 1
	}
	for round := range count {
		for _, p := range phases {
			if p.repeat {
				continue
			}
			say("round %d of %d: %s", round+1, count, p.bench)
			if err := run(p, 1); err != nil {
				return err
			}
		}
	}
	for _, p := range phases {
		if p.repeat {
			say("%d times: %s", count, p.bench)
			if err := run(p, count); err != nil {
				return err
			}
		}
	}
	say("done")
	return nil
}

// say tells how far it is.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

func command(ctx context.Context, out io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

// peers are the modules whose versions belong to the numbers.
var peers = []string{
	"github.com/aws/aws-sdk-go-v2",
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager",
	"github.com/hashicorp/vault/api",
	"github.com/helmfile/vals",
	"github.com/tailscale/setec",
	"gocloud.dev",
	"github.com/go-openapi/jsonpointer",
	"github.com/dolmen-go/jsonptr",
	"github.com/go-json-experiment/json",
	"github.com/tidwall/gjson",
	"github.com/bytedance/sonic",
	"github.com/tink-crypto/tink-go/v2",
	"github.com/magiconair/properties",
	"go.etcd.io/bbolt",
	"github.com/jackc/pgx/v5",
	"github.com/go-sql-driver/mysql",
}

// header says on what machine the results that follow were measured, and of
// what, in the lines that the benchmark format has for that.
func (o options) header(ctx context.Context) (string, error) {
	ask := func(name string, args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, name, args...).Output()
		return strings.TrimSpace(string(out)), err
	}
	versions, err := ask("go", append([]string{"list", "-m", "-f", "module-{{.Path}}: {{.Version}}"}, peers...)...)
	if err != nil {
		return "", fmt.Errorf("go list: %w", err)
	}
	goVersion, err := ask("go", "env", "GOVERSION")
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	commit, err := ask("git", "describe", "--always", "--dirty")
	if err != nil {
		commit = "unknown"
	}
	kernel, err := ask("uname", "-sr")
	if err != nil {
		kernel = runtime.GOOS
	}
	if o.quick {
		versions += "\nleft-out: Startup/vals Init/vals"
	}
	return fmt.Sprintf("date: %s\ngo: %s\ncommit: %s\nsystem: %s, %d processors\nlatency: %s\n%s\n",
		time.Now().UTC().Format(time.DateOnly), goVersion, commit, kernel, runtime.NumCPU(), o.latency, versions), nil
}
