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
Writes a reference into a product's configuration file (PATH, also its home
directory) in the place of the password, and the cipher class that reads it; with
-plaintext-from a password in the place of a reference. Run it on the product's
host as the user of the product's service. With "-" REFERENCE is read from
standard input.

First the reference is resolved, and the secret compared with the password that
the file has now. A copy of the file goes to the backup directory. Then the file
is replaced as a whole: whatever happens it is either the old one or the new one,
with the same owner and mode, and every byte of it that has nothing to do with
the change is what it was. Nothing is printed of any password.

  -backup-dir D               where the copy goes; D is made if it is missing. It
                              should not be in the product's home directory
  -dry-run                    show what would change, with passwords masked, and
                              write nothing
  -force                      write a reference also if its secret is not the
                              password of now, if that cannot be known, or if the
                              product may refuse the reference; not one that the
                              products' own classes cannot resolve. With
                              -plaintext-from: also if the password is not the one
                              of now, or that cannot be known
  -class NAME                 the cipher class, if it is not the one that belongs
                              to the reference. One of your own cannot be asked
                              from here: it needs -force
  -key KEY                    in bitbucket.properties, whose value it is (default
                              jdbc.password)
  -plaintext-from F           write the password that the file F holds, or with
                              "-" standard input, and no reference. A newline at
                              its end is not part of it; at a terminal it is typed
                              twice, unseen. It is written without -force also
                              while the store of the old one cannot be reached or
                              lets nobody in, though unchecked then
  -timeout D                  how long one secret, and opening the keyring, may take
                              (default 10s)
` + storeflags.Help + `

The exit status is 1 if nothing was written because something is wrong. If the
file says all that already it is left alone, and the exit status is 0.`,
		Run: run,
	}
}

// options are the flags of the command, and its arguments.
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
		return o, ui.NewUsageError("-plaintext-from takes the place of REFERENCE and -class")
	case o.plaintextFrom == "" && len(args) < 2:
		return o, ui.NewUsageError("an argument is missing: PATH and REFERENCE, or -plaintext-from")
	case o.backupDir == "" && !o.dryRun:
		return o, ui.NewUsageError("-backup-dir is missing: a directory, outside of the product's home, for a copy of the file")
	case o.class != "" && !atlassian.LooksLikeClass(o.class):
		return o, ui.NewUsageError("-class is not the name of a Java class with its package")
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
	// The library's warnings are findings here.
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
	if err := s.Flush(); err != nil { // what follows may be the last that is done
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

	ref    secretref.Reference // nil for plaintext and what only a class understands
	notes  []string            // about how it was written
	change edit.Change

	target *target
	config *secretref.ConfigFile // as it is
	layout atlassian.Layout
	result *edit.Result

	old      secretref.Secret // the password that the file has now
	oldKnown bool             // old is
}

// readNewValue finds out from arguments and input what shall stand in the file.
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
		return errors.New("REFERENCE is plaintext and not a reference; what writes a password into the file is -plaintext-from")
	case own && err != nil:
		return err
	case own && ofKeyring:
		return errors.New("keyring references are this library's own: the products cannot read them, unless a class of yours does, which -class names")
	case err != nil: // for the class to understand
		j.change.Value, _ = ref.CutPrefix(strings.TrimSpace(text))
	default:
		j.ref = reference
		j.change.Value, _ = ref.CutPrefix(reference.String())
	}
	return nil
}

// canonical takes from a reference what the products may refuse.
func (j *setOperation) canonical(ref secretref.Reference) secretref.Reference {
	const without = "the endpoint is written without the slash at its end"
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

// readPlaintext reads the password that shall stand in the file.
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
		err = errors.New("there is no password to write: the input is empty")
	}
	return text, err
}

// readConfig reads the file.
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

// plan finds out what has to change in the file.
func (j *setOperation) plan() error {
	if j.key != "" && j.layout.AnyClass == "" {
		return ui.NewUsageError("-key is for bitbucket.properties: other files have one password")
	}
	j.change.Key = cmp.Or(j.key, j.layout.Password)
	if old, ok := j.findItem(j.config); ok && j.alreadySet(old) {
		j.change.Value = old.Text // in other words, perhaps
	}
	var err error
	j.result, err = edit.Apply(filepath.Base(j.path), j.target.text, j.change)
	if err != nil {
		return &secretref.Error{Source: j.path, Err: err}
	}
	return nil
}

// findItem returns the value in question if it has to be resolved.
func (j *setOperation) findItem(c *secretref.ConfigFile) (atlassian.Item, bool) {
	items, _ := config.Items(c)
	i := slices.IndexFunc(items, func(i atlassian.Item) bool { return i.Key == j.change.Key })
	if i < 0 {
		return atlassian.Item{}, false
	}
	return items[i], true
}

// alreadySet reports whether the file has the wanted reference already, in a form that
// the products take.
func (j *setOperation) alreadySet(old atlassian.Item) bool {
	text := strings.TrimSpace(old.Text)
	ref, err := j.resolver.Parse(text)
	return err == nil && ref == j.ref && strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "{ENC}")
}

// printIdentity says who asks the stores.
func (j *setOperation) printIdentity(ctx context.Context) {
	reference := j.ref
	if reference == nil {
		entry, _ := j.config.Get(j.change.Key)
		reference, _ = j.resolver.Parse(entry.Reveal())
	}
	check.WriteIdentity(ctx, j.out, reference, j.store)
}

// printPlan says what shall become of the file.
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
		what = "a value for the class"
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
		j.report("warning", "line %d has another %s, which the product does not use and which is left as it is: remove it, it may hold a password", unused, j.change.Key)
	}
}

// report prints one line of the report.
func (j *setOperation) report(word, format string, args ...any) {
	_ = ui.Line(j.out, "  %-7s %s", word, fmt.Sprintf(format, args...))
}

// apply replaces the file, or says what it would have come to.
func (j *setOperation) apply(ctx context.Context) error {
	if j.target.lockFailed {
		j.report("warning", "the file could not be locked: make sure that nobody else changes it now")
	}
	if len(j.result.Lines) == 0 {
		if !j.dryRun {
			j.cleanUp()
		}
		j.reportLeftovers()
		fmt.Fprintln(j.out, "\nnothing to change: the file says so already")
		j.printNext()
		return nil
	}
	if j.dryRun {
		if err := checkReplaceable(j.target.path, filepath.Dir(j.target.path), j.target.info); err != nil {
			return &unchangedError{err}
		}
		fmt.Fprintf(j.out, "\nnothing was written: this was a dry run\n\nnext: run this without -dry-run; %s\n", j.nextStep())
		return nil
	}
	if err := ctx.Err(); err != nil {
		return &unchangedError{context.Cause(ctx)}
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
		j.report("warning", "the backup is in the product's home directory: move it to where the product and its own backups do not reach")
	}
	j.report("written", "%s", j.target.path)
	if done.overwritten != "" {
		j.report("warning", "somebody else wrote to the file while it was replaced: what they wrote is in %s, carry it over", done.overwritten)
	}
	if done.leftover != "" {
		j.report("warning", "%s is what the file was, and could not be removed: remove it, it may hold a password", done.leftover)
	}
	if done.lostAttributes != nil {
		j.report("warning", "these attributes of the file could not be kept: %s", strings.Join(done.lostAttributes, ", "))
	}
	if n := linkCount(j.target.info); n > 1 {
		j.report("warning", "the file had %d names (hard links): the others still lead to what it was", n)
	}
	j.reportLeftovers()
	j.printNext()
	return err
}

// cleanUp removes what killed runs have left behind.
func (j *setOperation) cleanUp() {
	name := filepath.Base(j.target.path)
	for _, path := range slices.Concat(cleanTempFiles(filepath.Dir(j.target.path), name), cleanTempFiles(j.backupDir, name)) {
		j.report("warning", "%s is of another run: if that was killed remove it, it may hold a password", path)
	}
}

// printNext says what to do now.
func (j *setOperation) printNext() { fmt.Fprintln(j.out, "\nnext: "+j.nextStep()) }

func (j *setOperation) backupWarning() string {
	const remove = "delete it when the product has started with the new value, on every node"
	entry, _ := j.config.Get(j.change.Key)
	if _, err := j.resolver.Parse(entry.Reveal()); err == nil || ref.IsPlaceholder(entry.Reveal()) {
		return "the backup holds all that the file held, which may be other passwords: " + remove
	}
	return "the backup holds the old password: " + remove
}
