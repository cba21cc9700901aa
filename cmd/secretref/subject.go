package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/atlassian/cipher"
	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/ref"
)

// readArgument finds out what the nth argument is, without a request. It never
// repeats an argument that is neither a file nor a reference: it may be a
// password.
func readArgument(r *secretref.Resolver, n int, arg string) section {
	if _, err := os.Stat(arg); err == nil || errors.Is(err, fs.ErrPermission) {
		return readFile(r, arg)
	}
	x := &subject{place: fmt.Sprintf("argument %d", n), loose: true}
	ref, err := r.Parse(arg)
	switch {
	case err == nil:
		x.ref = ref
		x.resolve = func(ctx context.Context) (secretref.Secret, error) { return r.ResolveReference(ctx, ref) }
		x.form(arg)
	case !errors.Is(err, secretref.ErrNotReference):
		x.fail(err, why(err))
	case arg == "":
		x.fail(err, "it is empty: is a variable not set?")
	case strings.ContainsRune(arg, '/') || strings.ContainsRune(arg, filepath.Separator) ||
		slices.Contains([]string{".xml", ".properties"}, strings.ToLower(filepath.Ext(arg))):
		x.fail(err, "it looks like a path, but there is no such file or directory")
	default:
		x.fail(err, "it is plaintext and not a reference, and no file or directory has that name")
	}
	return section{subjects: []*subject{x}}
}

// readFile lists what has to be resolved in a configuration file.
func readFile(r *secretref.Resolver, path string) section {
	c, err := secretref.ReadConfig(path)
	if err != nil {
		x := &subject{place: path}
		if located, ok := errors.AsType[*secretref.Error](err); ok && located.Source != "" {
			x.place = located.Source // the file in a home directory
		}
		x.fail(err, why(err))
		return section{subjects: []*subject{x}}
	}
	s := section{title: fmt.Sprintf("%s: %s", c.Product, c.Path)}
	file := filepath.Base(c.Path)
	items, err := itemsOf(c)
	if err != nil {
		x := &subject{place: file}
		x.fail(err, why(err))
		s.subjects = append(s.subjects, x)
		return s
	}
	for _, item := range items {
		s.subjects = append(s.subjects, readItem(r, c, item))
	}
	s.subjects = append(s.subjects, overlooked(r, c, items)...)
	if layout := atlassian.LayoutOf(atlassian.Product(c.Product)); !hasKey(items, layout.Password) {
		x := &subject{place: file}
		if len(items) == 0 {
			x.wrong("nothing in it has to be resolved: it has no %s", layout.Password)
		} else {
			x.note("it has no %s", layout.Password)
		}
		s.subjects = append(s.subjects, x)
	}
	return s
}

func hasKey(items []atlassian.Item, key string) bool {
	return slices.ContainsFunc(items, func(i atlassian.Item) bool { return i.Key == key })
}

// readItem is one value of a file that has to be resolved.
func readItem(r *secretref.Resolver, c *secretref.ConfigFile, item atlassian.Item) *subject {
	x := &subject{place: place(c, item.Entry)}
	layout := atlassian.LayoutOf(atlassian.Product(c.Product))
	ref, err := r.Parse(item.Value)
	plaintext := errors.Is(err, secretref.ErrNotReference)
	store := atlassian.CipherClassOf(item.Class)
	switch {
	case c.Product == secretref.Bitbucket && (atlassian.HasSubstitution(item.Value) || atlassian.HasSubstitution(item.Class)):
		x.wrong("%s", why(atlassian.SubstitutionError()))
		return x
	case store == atlassian.CustomClass:
		x.wrong("%s", unknownClass(item.Class))
		return x
	case store == atlassian.NoClass && plaintext && strings.TrimSpace(item.Value) == "":
		x.wrong("the value is empty")
		return x
	case store == atlassian.NoClass && plaintext:
		x.wrong("the password stands in the file in plain text: put it into AWS Secrets Manager or Vault, " +
			"and a reference and its cipher class into the file")
		return x
	case err == nil:
		x.ref = ref
		x.form(item.Value)
		x.inFile(c, layout, item)
		if store != atlassian.NoClass && item.Class != classOf(ref) && classOf(ref) != "" {
			x.fail(secretref.ErrSyntax, otherClass(item, layout, ref))
			return x
		}
	}
	x.ownCipher(c, item, store)
	x.resolve = func(ctx context.Context) (secretref.Secret, error) {
		alone := only(c, layout, item)
		settings, err := r.ResolveConfig(ctx, alone)
		return settings.Secrets[item.Key], err
	}
	if item.Key == layout.Password && carriesPassword(c, layout) {
		x.wrong("%s carries a password in plain text: remove it there", layout.URL)
	}
	return x
}

func place(c *secretref.ConfigFile, e atlassian.Entry) string {
	return fmt.Sprintf("%s:%d: %s", filepath.Base(c.Path), e.Line, e.Key)
}

// only returns c with no other value than item's to resolve, since the library
// fetches nothing at all from a file in which one value is malformed.
func only(c *secretref.ConfigFile, layout atlassian.Layout, item atlassian.Item) *secretref.ConfigFile {
	alone := &secretref.ConfigFile{Product: c.Product, Path: c.Path}
	for _, e := range c.Entries {
		password := item.Key == layout.Password && e.Key == layout.Class
		if e.Key == item.Key || password || layout.AnyClass != "" && e.Key == layout.AnyClass {
			alone.Entries = append(alone.Entries, e)
		}
	}
	return alone
}

func carriesPassword(c *secretref.ConfigFile, layout atlassian.Layout) bool {
	raw, _ := c.Get(layout.URL)
	return jdbc.Mask(raw.Reveal()) != raw.Reveal()
}

func unknownClass(class string) string {
	if !atlassian.LooksLikeClass(class) { // it may be the password
		return "what stands in the place of the cipher class is not the name of one: are class and password swapped?"
	}
	text := fmt.Sprintf("the cipher class %q cannot be asked from here, only by the product, which needs it on its class path", class)
	if strings.HasPrefix(class, "com.atlassian.") {
		text += "; the products' own are com.atlassian.secrets.store.aws.AwsSecretsManagerStore and " +
			"com.atlassian.secrets.store.vault.VaultSecretStore: is the name misspelt?"
	}
	return text
}

// otherClass says which class reads coordinates that stand under another one.
func otherClass(item atlassian.Item, layout atlassian.Layout, ref secretref.Reference) string {
	text := fmt.Sprintf("the cipher class %s does not read these coordinates, %s does", item.Class, classOf(ref))
	if item.Text != item.Value {
		text += fmt.Sprintf("; %s is for all values with a prefix, so that they must be in one store", layout.AnyClass)
	}
	return text
}

// form finds in how a reference is written what the products may refuse.
func (x *subject) form(value string) {
	text := strings.TrimSpace(value)
	body, prefixed := ref.CutPrefix(text)
	x.bare = !prefixed && !x.loose
	if strings.HasPrefix(text, "<") || prefixed && strings.HasPrefix(strings.TrimSpace(body), "<") {
		x.doubt("the angle form is documented nowhere: write {ENC}{…}")
	}
	switch ref := x.ref.(type) {
	case secretref.VaultReference:
		if strings.HasSuffix(ref.Endpoint, "/") {
			x.doubt("the endpoint ends in a slash: remove it, the product may ask for a path with two")
		}
		if token := os.Getenv(vaultkv.TokenVariable); ref.AuthenticationType == secretref.VaultToken && token != strings.TrimSpace(token) {
			x.doubt("there is white space around the token in %s, which the product may not remove", vaultkv.TokenVariable)
		}
		x.clearText(ref.Endpoint)
	case secretref.AWSReference:
		x.clearText(ref.EndpointOverride)
	}
}

// inKeyring finds what is to be said about a reference to a keyring: whether
// one is given, and why it cannot be opened.
func (x *subject) inKeyring(given bool, lacking error) {
	const own = "keyring references are this library's own, the products do not know them"
	if _, ok := x.ref.(secretref.KeyringReference); !ok {
		return
	}
	if lacking != nil && x.resolve != nil {
		x.resolve = func(context.Context) (secretref.Secret, error) { return secretref.Secret{}, lacking }
	}
	if x.loose && given {
		x.note(own)
	} else {
		x.doubt(own)
	}
}

// clearText tells when token and secret travel readably.
func (x *subject) clearText(endpoint string) {
	if u, err := url.Parse(endpoint); err == nil && strings.EqualFold(u.Scheme, "http") && !httpguard.Loopback(u.Hostname()) {
		x.note("the token and the secret travel in clear text: use https")
	}
}

// ownCipher finds what is to be said about a password that the file itself
// holds, or files that it leads to.
func (x *subject) ownCipher(c *secretref.ConfigFile, item atlassian.Item, store atlassian.CipherClass) {
	switch store {
	case atlassian.Base64Class:
		x.note("Base64 hides the password from a glance, and from nobody who means to read it")
	case atlassian.AlgorithmClass:
		files, err := cipher.Algorithm{Dir: filepath.Dir(c.Path)}.Files(item.Text)
		if err != nil {
			return // resolving it says so
		}
		for _, f := range files {
			if f.Relative {
				x.doubt("%s is named by a path that is not absolute: the product may look for it elsewhere than beside its configuration file", f.Path)
			}
			if info, err := os.Stat(f.Path); err == nil && runtime.GOOS != "windows" && info.Mode()&0o007 != 0 {
				x.note("%s can be opened by everybody on this machine: chmod o-rwx %[1]s", f.Path)
			}
		}
	}
}

// inFile finds what the product may refuse in the way a reference stands in its
// file.
func (x *subject) inFile(c *secretref.ConfigFile, layout atlassian.Layout, item atlassian.Item) {
	_, prefixed := ref.CutPrefix(strings.TrimSpace(item.Value))
	class := cmp.Or(layout.AnyClass, layout.Class)
	if layout.AnyClass != "" && !prefixed {
		class = layout.Class
	}
	switch {
	case item.Class == "" && layout.AnyClass != "" && !prefixed:
		x.doubt("without {ENC} before it and without %s the product takes its text for the password: put {ENC} before it", layout.Class)
	case item.Class == "":
		x.doubt("the file names no cipher class, so the product takes its text for the password: set %s to %s", class,
			cmp.Or(classOf(x.ref), "the class that reads it"))
	case prefixed && layout.AnyClass == "":
		x.doubt("in this file the product wants the coordinates without a prefix: remove {ENC}")
	case prefixed && item.Text == item.Value:
		// Only with the older key of bitbucket.properties the value keeps its prefix.
		x.doubt("with %s the product wants the coordinates without a prefix: name the class in %s instead", layout.Class, layout.AnyClass)
	}
	for _, key := range []string{layout.Class, layout.AnyClass} {
		if named, ok := c.Get(key); ok && key != "" && strings.TrimSpace(named.Reveal()) == item.Class && named.Reveal() != item.Class {
			x.doubt("there is white space around the class name in %s: remove it", key)
		}
	}
}

// classOf returns the products' cipher class for a reference, "" if there is
// none.
func classOf(ref secretref.Reference) string {
	switch ref.(type) {
	case secretref.AWSReference:
		return "com.atlassian.secrets.store.aws.AwsSecretsManagerStore"
	case secretref.VaultReference:
		return "com.atlassian.secrets.store.vault.VaultSecretStore"
	}
	return ""
}

// overlooked lists the entries that are references, but where the product looks
// for none: their text would be used as the password.
func overlooked(r *secretref.Resolver, c *secretref.ConfigFile, items []atlassian.Item) []*subject {
	var found []*subject
	for _, e := range c.Entries {
		if hasKey(items, e.Key) {
			continue
		}
		entry := entryOf(e)
		reference, err := r.Parse(entry.Value)
		if err != nil {
			continue
		}
		x := &subject{place: place(c, entry), ref: reference}
		_, prefixed := ref.CutPrefix(strings.TrimSpace(entry.Value))
		x.bare = !prefixed
		if c.Product == secretref.Bitbucket {
			x.wrong("the product takes its text for the value: put {ENC} before it")
		} else {
			x.wrong("the product resolves no reference there, only in %s", atlassian.LayoutOf(atlassian.Product(c.Product)).Password)
		}
		found = append(found, x)
	}
	return found
}

// why is what an error says after its place and reference, which stand
// elsewhere.
func why(err error) string {
	if located, ok := errors.AsType[*secretref.Error](err); ok {
		return message(located.Err)
	}
	return message(err)
}
