// Package set is the command "set": it replaces a password in a product's
// configuration file by a reference, or a reference by a password.
package set

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/check"
	"github.com/seed74218947/secretref/cmd/secretref/internal/config"
	"github.com/seed74218947/secretref/cmd/secretref/internal/storeflags"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/atlassian/edit"
	"github.com/seed74218947/secretref/internal/ref"
	"github.com/seed74218947/secretref/internal/secfile"
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
		return o, ui.NewUsageError("missing argument: give PATH and REFERENCE, or -plaintext-from and PATH")
	case o.backupDir == "" && !o.dryRun:
		return o, ui.NewUsageError("-backup-dir is missing: give a directory outside the product's home for a copy of the file")
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
	resolver := secretref.New(&secretref.Options{Timeout: o.store.Timeout.Value(), Keyring: keyring.OrNil(), Logger: log})
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

// readNewValue determines the new value and its class from arguments and input.
func (j *setOperation) readNewValue(ctx context.Context, s ui.Streams) error {
	j.change = edit.Change{Key: j.key}
	if j.plaintextFrom != "" {
		text, err := j.readPlaintext(ctx, s)
		j.change.Value = text
		return err
	}
	text := j.reference
	if text == "-" {
		var err error
		if text, err = ui.ReadValue(ctx, s, "reference"); err != nil {
			return err
		}
	}
	reference, err := j.resolver.Parse(text)
	reference = j.canonical(reference)
	store := atlassian.CipherClassOf(j.class)
	j.change.Class = cmp.Or(j.class, config.ClassFor(reference))
	_, ofKeyring := reference.(secretref.KeyringReference)
	switch own := store == atlassian.NoClass || store.Kind() != 0; {
	case own && errors.Is(err, secretref.ErrNotReference):
		return errors.New("REFERENCE is not a secret reference; to write a plaintext password use -plaintext-from")
	case own && err != nil:
		return err
	case own && ofKeyring:
		return errors.New("only this library reads keyring references: the products need a class of your own for them, given as -class")
	case err != nil: // only the class interprets it
		j.change.Value, _ = ref.CutPrefix(strings.TrimSpace(text))
	default:
		j.ref = reference
		j.change.Value, _ = ref.CutPrefix(reference.String())
	}
	return nil
}

// canonical removes parts of a reference that the products may reject.
func (j *setOperation) canonical(ref secretref.Reference) secretref.Reference {
	const without = "the slash at the end of the endpoint was removed"
	switch r := ref.(type) {
	case secretref.VaultReference:
		if bare := strings.TrimRight(r.Endpoint, "/"); bare != r.Endpoint {
			r.Endpoint = bare
			j.notes = append(j.notes, without)
		}
		return r
	case secretref.AWSReference:
		if bare := strings.TrimRight(r.EndpointOverride, "/"); bare != r.EndpointOverride {
			r.EndpointOverride = bare
			j.notes = append(j.notes, without)
		}
		return r
	}
	return ref
}

// readPlaintext reads the new password.
func (j *setOperation) readPlaintext(ctx context.Context, s ui.Streams) (string, error) {
	in := s.In
	if f, ok := ui.Terminal(in); ok && j.plaintextFrom == "-" {
		return ui.ReadPasswordTwice(ctx, f, s.Err, "password", "written")
	}
	if j.plaintextFrom != "-" {
		f, err := os.Open(j.plaintextFrom)
		if err != nil {
			return "", err
		}
		defer f.Close()
		if err := secfile.Check(f); err != nil {
			return "", err
		}
		in = f
	}
	text, err := ui.ReadLine(ctx, in)
	if err == nil && text == "" {
		err = errors.New("no password to write: the input is empty")
	}
	return text, err
}

// readConfig locks and reads the configuration file.
func (j *setOperation) readConfig() error {
	found, err := secretref.ReadConfig(j.path)
	if err != nil {
		return err
	}
	j.path = found.Path
	if j.target, err = openTarget(j.path, !j.dryRun); err != nil {
		return fmt.Errorf("%s: %w", j.path, err)
	}
	file, err := atlassian.Decode(filepath.Base(j.path), j.target.text)
	if err != nil {
		j.target.release()
		return &secretref.Error{Source: j.path, Err: err}
	}
	j.config = config.FromDecoded(file, j.path)
	j.layout = atlassian.LayoutOf(file.Product)
	return nil
}

// plan computes the change to the file.
func (j *setOperation) plan() error {
	if j.key != "" && j.layout.AnyClass == "" {
		return ui.NewUsageError("-key is only for bitbucket.properties: other files have a single password")
	}
	j.change.Key = cmp.Or(j.key, j.layout.Password)
	if old, ok := j.findItem(j.config); ok && j.alreadySet(old) {
		j.change.Value = old.Text // equal, though maybe spelled differently
	}
	var err error
	j.result, err = edit.Apply(filepath.Base(j.path), j.target.text, j.change)
	if err != nil {
		return &secretref.Error{Source: j.path, Err: err}
	}
	return nil
}

// findItem returns the value to be changed if the product resolves it.
func (j *setOperation) findItem(c *secretref.ConfigFile) (atlassian.Item, bool) {
	items, _ := config.Items(c)
	i := slices.IndexFunc(items, func(i atlassian.Item) bool { return i.Key == j.change.Key })
	if i < 0 {
		return atlassian.Item{}, false
	}
	return items[i], true
}

// alreadySet reports whether the file already has the new reference in a form that
// the products accept.
func (j *setOperation) alreadySet(old atlassian.Item) bool {
	text := strings.TrimSpace(old.Text)
	ref, err := j.resolver.Parse(text)
	return err == nil && ref == j.ref && strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "{ENC}")
}

// printIdentity prints the credentials in use.
func (j *setOperation) printIdentity(ctx context.Context) {
	reference := j.ref
	if reference == nil {
		entry, _ := j.config.Get(j.change.Key)
		reference, _ = j.resolver.Parse(entry.Reveal())
	}
	check.WriteIdentity(ctx, j.out, reference, j.store)
}

// printPlan prints the intended change.
func (j *setOperation) printPlan() {
	fmt.Fprintln(j.out)
	_ = ui.Line(j.out, "%s: %s", j.config.Product, j.path)
	entry, _ := j.config.Get(j.change.Key)
	at := 0
	for _, e := range j.config.Entries {
		if e.Key == j.change.Key && e.Value.Equal(entry) {
			at = e.Line
		}
	}
	what := "the password in plain text"
	switch {
	case j.ref != nil:
		what, _ = ref.CutPrefix(j.ref.String())
	case j.change.Class != "":
		what = "a value for the custom class"
	}
	j.report("set", "line %d: %s to %s", at, j.change.Key, what)
	if j.change.Class != "" {
		j.report("class", "%s", j.change.Class)
		build, _ := j.config.Get("buildNumber")
		j.report("version", "%s", versionNote(j.config.Product, atlassian.CipherClassOf(j.change.Class), build.Reveal()))
	}
	for _, note := range j.notes {
		j.report("note", "%s", note)
	}
	for _, unused := range j.result.Unused {
		j.report("warning", "line %d has another %s, which the product ignores and this command leaves unchanged: remove it, since it may contain a password", unused, j.change.Key)
	}
}

// report prints one line under a keyword.
func (j *setOperation) report(word, format string, args ...any) {
	_ = ui.Line(j.out, "  %-7s %s", word, fmt.Sprintf(format, args...))
}

// apply replaces the file, or with -dry-run reports whether it could.
func (j *setOperation) apply(ctx context.Context) error {
	if j.target.lockFailed {
		j.report("warning", "the file could not be locked: make sure that nothing else changes it now")
	}
	if len(j.result.Lines) == 0 {
		if !j.dryRun {
			j.cleanUp()
		}
		j.reportLeftovers()
		fmt.Fprintln(j.out, "\nnothing to change: the file already has these values")
		j.printNext()
		return nil
	}
	if j.dryRun {
		if err := checkReplaceable(j.target.path, filepath.Dir(j.target.path), j.target.info); err != nil {
			return &unchangedError{err: err}
		}
		fmt.Fprintf(j.out, "\nnothing was written: this was a dry run\n\nnext: run this without -dry-run; then %s\n", j.nextStep())
		return nil
	}
	if err := ctx.Err(); err != nil {
		return &unchangedError{err: context.Cause(ctx)}
	}
	j.cleanUp()
	inside := isInHome(j.backupDir, j.target.path) || isInHome(j.backupDir, j.path)
	done, err := j.target.replace(j.result.Text, j.backupDir, time.Now())
	if done.backup == "" {
		return err
	}
	j.report("backup", "%s", done.backup)
	j.report("warning", "%s", j.backupWarning())
	if inside {
		j.report("warning", "the backup is in the product's home directory: move it out of reach of the product and its own backups")
	}
	j.report("written", "%s", j.target.path)
	if done.overwritten != "" {
		j.report("warning", "another process wrote to the file while it was being replaced; its text is in %s: merge it into the file", done.overwritten)
	}
	if done.leftover != "" {
		j.report("warning", "%s is the old file and could not be removed: remove it, since it may contain a password", done.leftover)
	}
	if done.lostAttributes != nil {
		j.report("warning", "these attributes of the file were lost: %s", strings.Join(done.lostAttributes, ", "))
	}
	if n := linkCount(j.target.info); n > 1 {
		j.report("warning", "the file had %d names (hard links): the others still refer to the old content", n)
	}
	j.reportLeftovers()
	j.printNext()
	return err
}

// cleanUp removes temporary files of killed runs.
func (j *setOperation) cleanUp() {
	name := filepath.Base(j.target.path)
	for _, path := range slices.Concat(cleanTempFiles(filepath.Dir(j.target.path), name), cleanTempFiles(j.backupDir, name)) {
		j.report("warning", "%s belongs to another run: if that was killed, remove the file, since it may contain a password", path)
	}
}

// printNext prints the next step for the user.
func (j *setOperation) printNext() { fmt.Fprintln(j.out, "\nnext: "+j.nextStep()) }

func (j *setOperation) backupWarning() string {
	const remove = "delete it once the product has started with the new value on every node"
	entry, _ := j.config.Get(j.change.Key)
	if _, err := j.resolver.Parse(entry.Reveal()); err == nil || ref.IsPlaceholder(entry.Reveal()) {
		return "the backup may contain other passwords of the file: " + remove
	}
	return "the backup contains the old password: " + remove
}
