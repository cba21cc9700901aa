// Package set is the command "set": it replaces a password in a product's
// configuration file by a reference, or a reference by a password.
package set

import (
	"context"
	"io"
	"log/slog"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/storeflags"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/atlassian/edit"
)

func Command() ui.Command {
	return ui.Command{
		Name:     "set",
		Synopsis: "set -backup-dir D [-dry-run] [-force] PATH REFERENCE | -",
		Help: `
Replaces the password in a product's configuration file (PATH may also be its home
directory) by a reference and the cipher class that reads it; with -plaintext-from,
replaces a reference by a password. Run it on the product's host as the user of the
product's service. If REFERENCE is "-", it is read from standard input.

The command first resolves the reference and compares the secret with the password
now in the file. Then it copies the file to the backup directory and replaces the
file as a whole. If it is killed at any point, the file is either the old one or the
new one, never a mixture. Owner and mode stay the same, and so does every byte that
the change does not concern. Passwords are never printed.

  -backup-dir D               the directory for the copy; created if missing. It
                              should be outside the product's home directory
  -dry-run                    show what would change, with passwords masked, and
                              write nothing
  -force                      write a reference even if its secret differs from the
                              password now in the file, if that password cannot be
                              determined, or if the product may reject the
                              reference. A reference that the products' own classes
                              cannot resolve is never written. With -plaintext-from:
                              write the password even if it differs from the current
                              one or that cannot be determined
  -class NAME                 the cipher class, if not the usual one for the
                              reference. A class of your own cannot be run here and
                              needs -force
  -key KEY                    the key to change in bitbucket.properties (default
                              jdbc.password)
  -plaintext-from F           write the password in the file F instead of a
                              reference; "-" means standard input. One newline at
                              its end is removed; a terminal asks twice, without
                              echo. While the store of the old password is
                              unreachable or denies access, your password is
                              accepted unchecked, without -force
` + ui.TimeoutHelp + `
` + storeflags.Help + `

The exit status is 1 if nothing was written because of an error. If the file already
has these values, it stays unchanged and the exit status is 0.`,
		Run: run,
	}
}

// options are the flags and arguments of the command.
type options struct {
	backupDir, class, key, plaintextFrom string
	dryRun, force                        bool
	store                                storeflags.Flags

	path, reference string
}

func parseOptions(args []string) (options, error) {
	var o options
	f := ui.NewFlags("set")
	f.StringVar(&o.backupDir, "backup-dir", "", "")
	f.StringVar(&o.class, "class", "", "")
	f.StringVar(&o.key, "key", "", "")
	f.StringVar(&o.plaintextFrom, "plaintext-from", "", "")
	f.BoolVar(&o.dryRun, "dry-run", false, "")
	f.BoolVar(&o.force, "force", false, "")
	o.store.Register(f)
	args, err := ui.ParseFlags(f, args, 1, 2)
	switch {
	case err != nil:
		return o, err
	case o.plaintextFrom != "" && (len(args) == 2 || o.class != ""):
		return o, ui.NewUsageError("-plaintext-from cannot be combined with REFERENCE or -class")
	case o.plaintextFrom == "" && len(args) < 2:
		return o, ui.NewUsageError("missing argument: give PATH and REFERENCE, or " +
			"-plaintext-from and PATH")
	case o.backupDir == "" && !o.dryRun:
		return o, ui.NewUsageError("-backup-dir is missing: give a directory outside the " +
			"product's home for a copy of the file")
	case o.class != "" && !atlassian.LooksLikeClass(o.class):
		return o, ui.NewUsageError("-class is not a Java class name with its package")
	}
	if o.path = args[0]; len(args) == 2 {
		o.reference = args[1]
	}
	return o, nil
}

func run(ctx context.Context, args []string, s ui.Streams) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	ctx, stop := withHangup(ctx)
	defer stop()
	// The findings cover what the library would warn about.
	log, stopWaits := ui.ReportWaits(s.Err, slog.New(slog.DiscardHandler))
	defer stopWaits()
	keyring, lacking := o.store.OpenIfGiven(ctx, log)
	if lacking != nil {
		return lacking
	}
	defer keyring.CloseIfOpen()
	resolver := secretref.New(&secretref.Options{Timeout: o.store.Timeout.Value(),
		Keyring: keyring.OrNil(), Logger: log})
	defer resolver.Close()

	j := &setOperation{options: o, resolver: resolver, log: log, out: s.Out}
	if err := j.readNewValue(ctx, s); err != nil {
		return err
	}
	if err := j.readConfig(); err != nil {
		return err
	}
	defer j.target.release()
	if err := j.plan(); err != nil {
		return err
	}
	j.printIdentity(ctx)
	j.printPlan()
	if err := j.verify(ctx); err != nil {
		return err
	}
	if err := s.Flush(); err != nil { // the report must be out before the file changes
		return err
	}
	return j.apply(ctx)
}

// setOperation is one run of the command.
type setOperation struct {
	options
	resolver *secretref.Resolver
	log      *slog.Logger
	out      io.Writer

	ref    secretref.Reference // nil for plaintext and values for a custom class
	notes  []string            // changes to the reference as it was given
	change edit.Change

	target *target
	config *secretref.ConfigFile // before the change
	layout atlassian.Layout
	result *edit.Result

	old      secretref.Secret // the password now in the file
	oldKnown bool             // old is valid
}
