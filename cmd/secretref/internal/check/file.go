package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/config"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/ref"
)

// readArgument classifies the nth argument without sending a request. It never quotes
// an argument that is neither a file nor a reference: it may be a password.
func readArgument(r *secretref.Resolver, n int, arg string) section {
	if _, err := os.Stat(arg); err == nil || errors.Is(err, fs.ErrPermission) {
		return readFile(r, arg)
	}
	x := &checkedValue{location: fmt.Sprintf("argument %d", n), standalone: true}
	ref, err := r.Parse(arg)
	switch {
	case err == nil:
		x.ref = ref
		x.resolve = func(ctx context.Context) (secretref.Secret,
			error) {
			return r.ResolveReference(ctx, ref)
		}
		x.checkForm(arg)
	case !errors.Is(err, secretref.ErrNotReference):
		x.addFailure(err, ui.Reason(err))
	case arg == "":
		x.addFailure(err, "it is empty: is a variable on the command line not set?")
	case strings.ContainsRune(arg, '/') || strings.ContainsRune(arg, filepath.Separator) ||
		slices.Contains([]string{".xml", ".properties"}, strings.ToLower(filepath.Ext(arg))):
		x.addFailure(err, "it looks like a path, but there is no such file or directory")
	default:
		x.addFailure(err, "it is plaintext, neither a reference nor the name of a file or "+
			"directory")
	}
	return section{values: []*checkedValue{x}}
}

// readFile lists the values of a configuration file that the product resolves.
func readFile(r *secretref.Resolver, path string) section {
	c, err := secretref.ReadConfig(path)
	if err != nil {
		x := &checkedValue{location: path}
		if located, ok := errors.AsType[*secretref.Error](err); ok && located.Source != "" {
			x.location = located.Source // the file in a home directory
		}
		x.addFailure(err, ui.Reason(err))
		return section{values: []*checkedValue{x}}
	}
	s := section{title: fmt.Sprintf("%s: %s", c.Product, c.Path)}
	file := filepath.Base(c.Path)
	items, err := config.Items(c)
	if err != nil {
		x := &checkedValue{location: file}
		x.addFailure(err, ui.Reason(err))
		s.values = append(s.values, x)
		return s
	}
	for _, item := range items {
		s.values = append(s.values, readItem(r, c, item))
	}
	s.values = append(s.values, ignoredReferences(r, c, items)...)
	if layout := atlassian.LayoutOf(atlassian.Product(c.Product)); !hasKey(items, layout.Password) {
		x := &checkedValue{location: file}
		if len(items) == 0 {
			x.addWrong("it has no %s and no other value to resolve", layout.Password)
		} else {
			x.addNote("it has no %s", layout.Password)
		}
		s.values = append(s.values, x)
	}
	return s
}

func hasKey(items []atlassian.Item, key string) bool {
	return slices.ContainsFunc(items, func(i atlassian.Item) bool { return i.Key == key })
}

// readItem checks how one value of a file is written, and sets how to resolve it.
func readItem(r *secretref.Resolver, c *secretref.ConfigFile, item atlassian.Item) *checkedValue {
	x := &checkedValue{location: entryLocation(c, item.Entry)}
	layout := atlassian.LayoutOf(atlassian.Product(c.Product))
	ref, err := r.Parse(item.Value)
	plaintext := errors.Is(err, secretref.ErrNotReference)
	store := atlassian.CipherClassOf(item.Class)
	switch {
	case c.Product == secretref.Bitbucket &&
		(atlassian.HasSubstitution(item.Value) || atlassian.HasSubstitution(item.Class)):
		x.addWrong("%s", ui.Reason(atlassian.SubstitutionError()))
		return x
	case store == atlassian.CustomClass:
		x.addWrong("%s", unknownClassText(item.Class))
		return x
	case store == atlassian.NoClass && plaintext && strings.TrimSpace(item.Value) == "":
		x.addWrong("the value is empty")
		return x
	case store == atlassian.NoClass && plaintext:
		x.addWrong("the file contains the password in plain text: store it in AWS Secrets " +
			"Manager or Vault, " +
			"and write a reference and its cipher class into the file")
		return x
	case err == nil:
		x.ref = ref
		x.checkForm(item.Value)
		x.checkPlacement(c, layout, item)
		if store != atlassian.NoClass && item.Class != config.ClassFor(ref) &&
			config.ClassFor(ref) != "" {
			x.addFailure(secretref.ErrSyntax, wrongClassText(item, layout, ref))
			return x
		}
	}
	x.checkCipher(c, item, store)
	x.resolve = func(ctx context.Context) (secretref.Secret, error) {
		alone := config.OnlyItem(c, layout, item)
		settings, err := r.ResolveConfig(ctx, alone)
		return settings.Secrets[item.Key], err
	}
	if item.Key == layout.Password && config.URLHasPassword(c, layout) {
		x.addWrong("%s contains a password in plain text: remove it from there", layout.URL)
	}
	return x
}

func entryLocation(c *secretref.ConfigFile, e atlassian.Entry) string {
	return fmt.Sprintf("%s:%d: %s", filepath.Base(c.Path), e.Line, e.Key)
}

// ignoredReferences lists references in entries that the product does not resolve: it
// would use their text as the value.
func ignoredReferences(r *secretref.Resolver, c *secretref.ConfigFile,
	items []atlassian.Item) []*checkedValue {
	var found []*checkedValue
	for _, e := range c.Entries {
		if hasKey(items, e.Key) {
			continue
		}
		entry := config.Entry(e)
		reference, err := r.Parse(entry.Value)
		if err != nil {
			continue
		}
		x := &checkedValue{location: entryLocation(c, entry), ref: reference}
		_, prefixed := ref.CutPrefix(strings.TrimSpace(entry.Value))
		x.unprefixed = !prefixed
		if c.Product == secretref.Bitbucket {
			x.addWrong("the product uses its text as the value: put {ENC} before it")
		} else {
			x.addWrong("the product does not resolve references there, only in %s",
				atlassian.LayoutOf(atlassian.Product(c.Product)).Password)
		}
		found = append(found, x)
	}
	return found
}
