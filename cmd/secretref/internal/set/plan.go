package set

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/check"
	"github.com/seed74218947/secretref/cmd/secretref/internal/config"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/atlassian/edit"
	"github.com/seed74218947/secretref/internal/ref"
	"github.com/seed74218947/secretref/internal/secfile"
)

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
		return errors.New("REFERENCE is not a secret reference; to write a plaintext password " +
			"use -plaintext-from")
	case own && err != nil:
		return err
	case own && ofKeyring:
		return errors.New("only this library reads keyring references: the products need a class " +
			"of your own for them, given as -class")
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
		return ui.NewUsageError("-key is only for bitbucket.properties: other files have a " +
			"single password")
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
	return err == nil && ref == j.ref && strings.HasPrefix(text, "{") &&
		!strings.HasPrefix(text, "{ENC}")
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
		j.report("version", "%s",
			versionNote(j.config.Product, atlassian.CipherClassOf(j.change.Class), build.Reveal()))
	}
	for _, note := range j.notes {
		j.report("note", "%s", note)
	}
	for _, shadowed := range j.result.Shadowed {
		j.report("warning", "line %d has another %s, which the product ignores and this command "+
			"leaves unchanged: remove it, since it may contain a password", shadowed, j.change.Key)
	}
}
