package main

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
	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/atlassian/edit"
	"github.com/seed74218947/secretref/internal/ref"
	"github.com/seed74218947/secretref/internal/secfile"
)

func setCommand() command {
	return command{
		name:     "set",
		synopsis: "set -backup-dir D [-dry-run] [-force] PATH REFERENCE | -",
		help: `
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
` + storeFlagsHelp + `

The exit status is 1 if nothing was written because something is wrong. If the
file says all that already it is left alone, and the exit status is 0.`,
		run: setReference,
	}
}

// setFlags are the flags of the command, and its arguments.
type setFlags struct {
	backupDir, class, key, plaintextFrom string
	dryRun, force                        bool
	store                                storeFlags

	path, reference string
}

func parseSet(args []string) (setFlags, error) {
	var o setFlags
	f := flags("set")
	f.StringVar(&o.backupDir, "backup-dir", "", "")
	f.StringVar(&o.class, "class", "", "")
	f.StringVar(&o.key, "key", "", "")
	f.StringVar(&o.plaintextFrom, "plaintext-from", "", "")
	f.BoolVar(&o.dryRun, "dry-run", false, "")
	f.BoolVar(&o.force, "force", false, "")
	o.store.register(f)
	args, err := parse(f, args, 1, 2)
	switch {
	case err != nil:
		return o, err
	case o.plaintextFrom != "" && (len(args) == 2 || o.class != ""):
		return o, &usageError{"-plaintext-from takes the place of REFERENCE and -class"}
	case o.plaintextFrom == "" && len(args) < 2:
		return o, &usageError{"an argument is missing: PATH and REFERENCE, or -plaintext-from"}
	case o.backupDir == "" && !o.dryRun:
		return o, &usageError{"-backup-dir is missing: a directory, outside of the product's home, for a copy of the file"}
	case o.class != "" && !atlassian.LooksLikeClass(o.class):
		return o, &usageError{"-class is not the name of a Java class with its package"}
	}
	if o.path = args[0]; len(args) == 2 {
		o.reference = args[1]
	}
	return o, nil
}

func setReference(ctx context.Context, args []string, s streams) error {
	o, err := parseSet(args)
	if err != nil {
		return err
	}
	ctx, stop := untilHangup(ctx)
	defer stop()
	// The library's warnings are findings here.
	log, stopWaits := watchWaits(s.err, slog.New(slog.DiscardHandler))
	defer stopWaits()
	keyring, lacking := o.store.optional(ctx, log)
	if lacking != nil {
		return lacking
	}
	defer keyring.close()
	resolver := secretref.New(&secretref.Options{Timeout: o.store.timeout.value(), Keyring: keyring.keyring(), Logger: log})
	defer resolver.Close()

	j := &amendment{setFlags: o, resolver: resolver, log: log, out: s.out}
	if err := j.want(ctx, s); err != nil {
		return err
	}
	if err := j.read(); err != nil {
		return err
	}
	defer j.target.release()
	if err := j.decide(); err != nil {
		return err
	}
	j.askWho(ctx)
	j.announce()
	if err := j.check(ctx); err != nil {
		return err
	}
	if err := s.flush(); err != nil { // what follows may be the last that is done
		return err
	}
	return j.write(ctx)
}

// amendment is one run of the command.
type amendment struct {
	setFlags
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

	old   secretref.Secret // the password that the file has now
	known bool             // old is
}

// want finds out from arguments and input what shall stand in the file.
func (j *amendment) want(ctx context.Context, s streams) error {
	j.change = edit.Change{Key: j.key}
	if j.plaintextFrom != "" {
		text, err := j.plaintext(ctx, s)
		j.change.Value = text
		return err
	}
	text := j.reference
	if text == "-" {
		var err error
		if text, err = readValue(ctx, s, "reference"); err != nil {
			return err
		}
	}
	reference, err := j.resolver.Parse(text)
	reference = j.canonical(reference)
	store := atlassian.CipherClassOf(j.class)
	j.change.Class = cmp.Or(j.class, classOf(reference))
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
func (j *amendment) canonical(ref secretref.Reference) secretref.Reference {
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

// plaintext reads the password that shall stand in the file.
func (j *amendment) plaintext(ctx context.Context, s streams) (string, error) {
	in := s.in
	if f, ok := terminal(in); ok && j.plaintextFrom == "-" {
		return typeTwice(ctx, f, s.err, "password", "written")
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
	text, err := readLine(ctx, in)
	if err == nil && text == "" {
		err = errors.New("there is no password to write: the input is empty")
	}
	return text, err
}

// read reads the file.
func (j *amendment) read() error {
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
	j.config = configOf(file, j.path)
	j.layout = atlassian.LayoutOf(file.Product)
	return nil
}

func configOf(f *atlassian.File, path string) *secretref.ConfigFile {
	c := &secretref.ConfigFile{Product: secretref.Product(f.Product), Path: path}
	for _, e := range f.Entries {
		c.Entries = append(c.Entries, secretref.Entry{Key: e.Key, Value: secretref.NewSecret(e.Value), Line: e.Line})
	}
	return c
}

// decide finds out what has to change in the file.
func (j *amendment) decide() error {
	if j.key != "" && j.layout.AnyClass == "" {
		return &usageError{"-key is for bitbucket.properties: other files have one password"}
	}
	j.change.Key = cmp.Or(j.key, j.layout.Password)
	if old, ok := j.item(j.config); ok && j.same(old) {
		j.change.Value = old.Text // in other words, perhaps
	}
	var err error
	j.result, err = edit.Apply(filepath.Base(j.path), j.target.text, j.change)
	if err != nil {
		return &secretref.Error{Source: j.path, Err: err}
	}
	return nil
}

// item returns the value in question if it has to be resolved.
func (j *amendment) item(c *secretref.ConfigFile) (atlassian.Item, bool) {
	items, _ := itemsOf(c)
	i := slices.IndexFunc(items, func(i atlassian.Item) bool { return i.Key == j.change.Key })
	if i < 0 {
		return atlassian.Item{}, false
	}
	return items[i], true
}

// same reports whether the file has the wanted reference already, in a form that
// the products take.
func (j *amendment) same(old atlassian.Item) bool {
	text := strings.TrimSpace(old.Text)
	ref, err := j.resolver.Parse(text)
	return err == nil && ref == j.ref && strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "{ENC}")
}

// askWho says who asks the stores.
func (j *amendment) askWho(ctx context.Context) {
	x := &subject{ref: j.ref}
	if x.ref == nil {
		entry, _ := j.config.Get(j.change.Key)
		x.ref, _ = j.resolver.Parse(entry.Reveal())
	}
	asker := newAsker([]*subject{x}, j.store)
	asker.ask(ctx)
	asker.write(j.out)
}

// announce says what shall become of the file.
func (j *amendment) announce() {
	fmt.Fprintln(j.out)
	_ = line(j.out, "%s: %s", j.config.Product, j.path)
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
	j.say("set", "line %d: %s to %s", at, j.change.Key, what)
	if j.change.Class != "" {
		j.say("class", "%s", j.change.Class)
		build, _ := j.config.Get("buildNumber")
		j.say("version", "%s", needs(j.config.Product, atlassian.CipherClassOf(j.change.Class), build.Reveal()))
	}
	for _, note := range j.notes {
		j.say("note", "%s", note)
	}
	for _, unused := range j.result.Shadowed {
		j.say("warning", "line %d has another %s, which the product does not use and which is left as it is: remove it, it may hold a password", unused, j.change.Key)
	}
}

// say prints one line of the report.
func (j *amendment) say(word, format string, args ...any) {
	_ = line(j.out, "  %-7s %s", word, fmt.Sprintf(format, args...))
}

// write replaces the file, or says what it would have come to.
func (j *amendment) write(ctx context.Context) error {
	if j.target.unlocked {
		j.say("warning", "the file could not be locked: make sure that nobody else changes it now")
	}
	if len(j.result.Lines) == 0 {
		if !j.dryRun {
			j.tidy()
		}
		j.remains()
		fmt.Fprintln(j.out, "\nnothing to change: the file says so already")
		j.end()
		return nil
	}
	if j.dryRun {
		if err := replaceable(j.target.path, filepath.Dir(j.target.path), j.target.info); err != nil {
			return &unchangedError{err}
		}
		fmt.Fprintf(j.out, "\nnothing was written: this was a dry run\n\nnext: run this without -dry-run; %s\n", j.next())
		return nil
	}
	if err := ctx.Err(); err != nil {
		return &unchangedError{context.Cause(ctx)}
	}
	j.tidy()
	inside := inHome(j.backupDir, j.target.path) || inHome(j.backupDir, j.path)
	done, err := j.target.replace(j.result.Text, j.backupDir, time.Now())
	if done.copied == "" {
		return err
	}
	j.say("backup", "%s", done.copied)
	j.say("warning", "%s", j.aboutBackup())
	if inside {
		j.say("warning", "the backup is in the product's home directory: move it to where the product and its own backups do not reach")
	}
	j.say("written", "%s", j.target.path)
	if done.overtaken != "" {
		j.say("warning", "somebody else wrote to the file while it was replaced: what they wrote is in %s, carry it over", done.overtaken)
	}
	if done.left != "" {
		j.say("warning", "%s is what the file was, and could not be removed: remove it, it may hold a password", done.left)
	}
	if done.lost != nil {
		j.say("warning", "these attributes of the file could not be kept: %s", strings.Join(done.lost, ", "))
	}
	if n := links(j.target.info); n > 1 {
		j.say("warning", "the file had %d names (hard links): the others still lead to what it was", n)
	}
	j.remains()
	j.end()
	return err
}

// tidy removes what killed runs have left behind.
func (j *amendment) tidy() {
	name := filepath.Base(j.target.path)
	for _, path := range slices.Concat(sweep(filepath.Dir(j.target.path), name), sweep(j.backupDir, name)) {
		j.say("warning", "%s is of another run: if that was killed remove it, it may hold a password", path)
	}
}

// end says what to do now.
func (j *amendment) end() { fmt.Fprintln(j.out, "\nnext: "+j.next()) }

func (j *amendment) aboutBackup() string {
	const remove = "delete it when the product has started with the new value, on every node"
	entry, _ := j.config.Get(j.change.Key)
	if _, err := j.resolver.Parse(entry.Reveal()); err == nil || ref.IsPlaceholder(entry.Reveal()) {
		return "the backup holds all that the file held, which may be other passwords: " + remove
	}
	return "the backup holds the old password: " + remove
}
