// Command report runs the benchmarks of package bench, round after round, and
// writes what they say to RESULTS.md, with two plots beside it. It runs in the
// directory internal/bench.
//
// It fails, and leaves what is there as it is, if a benchmark fails, is missing
// or is not expected: a table with a row less would look as if nothing were
// wrong. What has been measured by then stays in results.txt~.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

func main() {
	var o options
	flag.IntVar(&o.count, "count", 8, "how often each benchmark is run; fewer than 6 give no spread")
	flag.BoolVar(&o.quick, "quick", false, "run each benchmark once, and as short as possible, to see that all is there; what takes minutes to build is left out")
	flag.DurationVar(&o.latency, "latency", 5*time.Millisecond, "how long the fake servers take for each answer")
	flag.StringVar(&o.from, "from", "", "write the report from this file, which an earlier run has left, and run nothing")
	flag.StringVar(&o.out, "out", "", "the directory of RESULTS.md, the plots and results.txt, the raw results; empty: the current one, and with -quick none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

type options struct {
	count     int
	quick     bool
	latency   time.Duration
	from, out string
}

func (o options) run(ctx context.Context) error {
	if flag.NArg() > 0 || o.count < 1 {
		return errors.New("usage: report [-count N] [-quick] [-latency D] [-from FILE] [-out DIR]")
	}
	if o.out == "" && o.quick {
		dir, err := os.MkdirTemp("", "secretref-report-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		o.out = dir
	}
	raw := o.from
	if raw == "" {
		raw = filepath.Join(o.out, "results.txt~")
		if err := o.measure(ctx, raw); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(raw)
	if err != nil {
		return err
	}
	files, err := report(text)
	if err != nil {
		return fmt.Errorf("%s: %w", raw, err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(o.out, name), text, 0o644); err != nil {
			return err
		}
	}
	if o.from == "" {
		return os.Rename(raw, filepath.Join(o.out, "results.txt"))
	}
	return nil
}

// report makes the files of the report of raw results, if all can be made.
func report(raw []byte) (map[string][]byte, error) {
	r, err := read(bytes.NewReader(raw), "results")
	if err != nil {
		return nil, err
	}
	sections := r.filled(sections())
	if err := r.complete(sections); err != nil {
		return nil, err
	}
	files := map[string][]byte{"RESULTS.md": r.markdown(sections)}
	for name, figure := range plots() {
		svg, err := r.svg(figure)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = svg
	}
	return files, nil
}
