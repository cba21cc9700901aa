// Package check is the command "check": it reports whether references resolve, whether
// the product accepts them as they are written, and how to fix them.
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
Checks, before a product is restarted, that the references in its configuration file
(PATH may also be its home directory) or the references VALUE can be resolved. It
prints the credentials in use, then each reference, then what to do next. It prints
no secret. Run it on the product's host as the user of the product's service.

  ok      the reference resolves to a value that the product can use
  doubt   it resolves here, but the product may reject it (the reason follows)
  wrong   it does not resolve (the reason and the fix follow)

` + ui.TimeoutHelp + `
` + storeflags.Help + `

-store opens the keyring for references with "keyring"; see "secretref help keys".
Only programs that use the library can read these; the products cannot.

The exit status is 1 if something is wrong, and 0 if there are only doubts.`,
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
	// The findings cover what the library would warn about.
	log, stop := ui.ReportWaits(s.Err, slog.New(slog.DiscardHandler))
	defer stop()
	keyring, lacking := store.OpenIfGiven(ctx, log)
	if _, wrongUsage := errors.AsType[*ui.UsageError](lacking); wrongUsage {
		return lacking
	}
	defer keyring.CloseIfOpen()
	resolver := secretref.New(&secretref.Options{Timeout: store.Timeout.Value(),
		Keyring: keyring.OrNil(), Logger: log})
	defer resolver.Close()

	sections := make([]section, len(args))
	var values []*checkedValue
	for i, arg := range args {
		sections[i] = readArgument(resolver, i+1, arg)
		values = append(values, sections[i].values...)
	}
	for _, x := range values {
		x.checkKeyring(store.Store != "", lacking)
	}
	identity := newIdentityReport(values, store)
	probe := newProbe(resolver, store.Timeout.Value(), log)
	defer probe.close()
	var work sync.WaitGroup
	work.Go(func() { identity.gather(ctx) })
	for _, x := range values {
		work.Go(func() { probe.examine(ctx, x) })
	}
	work.Wait()
	stop()

	identity.write(s.Out)
	for _, section := range sections {
		section.write(s.Out)
	}
	fmt.Fprintln(s.Out)
	_ = ui.Line(s.Out, "next: %s", nextStep(values))
	for _, x := range values {
		if x.worstLevel() == Wrong {
			return ui.ErrReported
		}
	}
	return nil
}

// section is the result for one argument.
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
