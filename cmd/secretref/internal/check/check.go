package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/storeflags"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func Command() ui.Command {
	return ui.Command{
		Name:     "check",
		Synopsis: "check [-timeout D] [-store S] PATH | VALUE ...",
		Help: `
Says, before a product is restarted, whether the references in its configuration
file (PATH, also its home directory) or the references VALUE can be resolved: who
asks, then each reference, then what to do next. It prints no secret. Run it on
the product's host as the user of the product's service.

  ok      the reference resolves to a value that the product can use
  doubt   it resolves here, but the product may refuse it, and why
  wrong   what is wrong, and how to mend it

  -timeout D                  how long one secret, and opening the keyring, may take
                              (default 10s)
` + storeflags.Help + `

-store opens the keyring that references with "keyring" lead to: see
"secretref help keys". Programs with the library read them, the products do not.

The exit status is 1 when something is wrong; doubts alone leave it 0.`,
		Run: run,
	}
}

func run(ctx context.Context, args []string, s ui.Streams) error {
	f := ui.NewFlags("check")
	var store storeflags.Flags
	store.Register(f)
	args, err := ui.ParseFlags(f, args, 1, 1<<20)
	if err != nil {
		return err
	}
	// The library's warnings are findings here.
	log, stop := ui.ReportWaits(s.Err, slog.New(slog.DiscardHandler))
	defer stop()
	keyring, lacking := store.OpenIfGiven(ctx, log)
	if _, wrongUsage := errors.AsType[*ui.UsageError](lacking); wrongUsage {
		return lacking
	}
	defer keyring.CloseIfOpen()
	resolver := secretref.New(&secretref.Options{Timeout: store.Timeout.Value(), Keyring: keyring.OrNil(), Logger: log})
	defer resolver.Close()

	sections := make([]section, len(args))
	var subjects []*checkedValue
	for i, arg := range args {
		sections[i] = readArgument(resolver, i+1, arg)
		subjects = append(subjects, sections[i].values...)
	}
	for _, x := range subjects {
		x.checkKeyring(store.Store != "", lacking)
	}
	asker := newIdentityReport(subjects, store)
	probe := newProbe(resolver, store.Timeout.Value(), log)
	defer probe.close()
	var work sync.WaitGroup
	work.Go(func() { asker.gather(ctx) })
	for _, x := range subjects {
		work.Go(func() { probe.examine(ctx, x) })
	}
	work.Wait()
	stop()

	asker.write(s.Out)
	for _, section := range sections {
		section.write(s.Out)
	}
	fmt.Fprintln(s.Out)
	_ = ui.Line(s.Out, "next: %s", nextStep(subjects))
	for _, x := range subjects {
		if x.worstLevel() == Wrong {
			return ui.ErrReported
		}
	}
	return nil
}

// section is what one argument brings.
type section struct {
	title  string // the file; empty for a value
	values []*checkedValue
}

func (s section) write(w io.Writer) {
	fmt.Fprintln(w)
	if s.title != "" {
		_ = ui.Line(w, "%s", s.title)
	}
	for _, x := range s.values {
		x.write(w)
	}
}
