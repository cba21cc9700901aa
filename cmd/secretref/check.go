package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/ref"
)

func checkCommand() command {
	return command{
		name:     "check",
		synopsis: "check [-timeout D] [-store S] PATH | VALUE ...",
		help: `
Says, before a product is restarted, whether the references in its configuration
file (PATH, also its home directory) or the references VALUE can be resolved: who
asks, then each reference, then what to do next. It prints no secret. Run it on
the product's host as the user of the product's service.

  ok      the reference resolves to a value that the product can use
  doubt   it resolves here, but the product may refuse it, and why
  wrong   what is wrong, and how to mend it

  -timeout D                  how long one secret, and opening the keyring, may take
                              (default 10s)
` + storeFlagsHelp + `

-store opens the keyring that references with "keyring" lead to: see
"secretref help keys". Programs with the library read them, the products do not.

The exit status is 1 when something is wrong; doubts alone leave it 0.`,
		run: check,
	}
}

func check(ctx context.Context, args []string, s streams) error {
	f := flags("check")
	var store storeFlags
	store.register(f)
	args, err := parse(f, args, 1, 1<<20)
	if err != nil {
		return err
	}
	// The library's warnings are findings here.
	log, stop := watchWaits(s.err, slog.New(slog.DiscardHandler))
	defer stop()
	keyring, lacking := store.optional(ctx, log)
	if _, wrongUsage := errors.AsType[*usageError](lacking); wrongUsage {
		return lacking
	}
	defer keyring.close()
	resolver := secretref.New(&secretref.Options{Timeout: store.timeout.value(), Keyring: keyring.keyring(), Logger: log})
	defer resolver.Close()

	sections := make([]section, len(args))
	var subjects []*subject
	for i, arg := range args {
		sections[i] = readArgument(resolver, i+1, arg)
		subjects = append(subjects, sections[i].subjects...)
	}
	for _, x := range subjects {
		x.inKeyring(store.store != "", lacking)
	}
	asker := newAsker(subjects, store)
	probe := newProbe(resolver, store.timeout.value(), log)
	defer probe.close()
	var work sync.WaitGroup
	work.Go(func() { asker.ask(ctx) })
	for _, x := range subjects {
		work.Go(func() { probe.examine(ctx, x) })
	}
	work.Wait()
	stop()

	asker.write(s.out)
	for _, section := range sections {
		section.write(s.out)
	}
	fmt.Fprintln(s.out)
	_ = line(s.out, "next: %s", next(subjects))
	for _, x := range subjects {
		if x.level() == wrong {
			return errReported
		}
	}
	return nil
}

// section is what one argument brings.
type section struct {
	title    string // the file; empty for a value
	subjects []*subject
}

func (s section) write(w io.Writer) {
	fmt.Fprintln(w)
	if s.title != "" {
		_ = line(w, "%s", s.title)
	}
	for _, x := range s.subjects {
		x.write(w)
	}
}

// subject is one value under examination.
type subject struct {
	place string // "dbconfig.xml:14: jdbc-datasource/password", "argument 2"
	loose bool   // it stands in no file
	ref   secretref.Reference
	bare  bool // it is written without a prefix

	// resolve gets the secret; nil if the findings say already why nobody can.
	resolve func(ctx context.Context) (secretref.Secret, error)

	findings []finding
}

// level is how bad a finding is.
type level uint8

const (
	note  level = iota // good to know
	doubt              // the product may not resolve it
	wrong              // it does not resolve, or not to a password
)

type finding struct {
	level level
	text  string
	err   error // what text is about, if it is an error
}

func (x *subject) note(format string, args ...any) {
	x.findings = append(x.findings, finding{level: note, text: fmt.Sprintf(format, args...)})
}

func (x *subject) doubt(format string, args ...any) {
	x.findings = append(x.findings, finding{level: doubt, text: fmt.Sprintf(format, args...)})
}

func (x *subject) wrong(format string, args ...any) {
	x.findings = append(x.findings, finding{level: wrong, text: fmt.Sprintf(format, args...)})
}

func (x *subject) fail(err error, text string) {
	x.findings = append(x.findings, finding{level: wrong, text: text, err: err})
}

// level is that of the worst finding.
func (x *subject) level() level {
	worst := note
	for _, f := range x.findings {
		worst = max(worst, f.level)
	}
	return worst
}

func (x *subject) write(w io.Writer) {
	worst := x.level()
	word := [...]string{note: "ok", doubt: "doubt", wrong: "wrong"}[worst]
	subject := x.place
	if x.ref != nil {
		text := x.ref.String()
		if x.bare {
			text, _ = ref.CutPrefix(text)
		}
		subject += ": " + text
	}
	_ = line(w, "  %-6s %s", word, subject)
	for _, level := range []level{wrong, doubt, note} {
		for _, f := range x.findings {
			if f.level == level {
				_ = line(w, "         %s%s", lead(f.level, worst), f.text)
			}
		}
	}
}

// lead says what kind of finding follows.
func lead(of, worst level) string {
	switch {
	case of == doubt && worst == doubt:
		return "resolves here but the product may not: "
	case of == doubt:
		return "the product may refuse it besides: "
	case of == note:
		return "note: "
	}
	return ""
}
