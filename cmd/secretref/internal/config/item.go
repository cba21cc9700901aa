package config

import (
	"slices"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
)

// OnlyItem returns a copy of c in which item is the only value to resolve: the library
// fetches nothing if any value of a file is malformed.
func OnlyItem(c *secretref.ConfigFile, layout atlassian.Layout,
	item atlassian.Item) *secretref.ConfigFile {
	alone := &secretref.ConfigFile{Product: c.Product, Path: c.Path}
	for _, e := range c.Entries {
		password := item.Key == layout.Password && e.Key == layout.Class
		if e.Key == item.Key || password || layout.AnyClass != "" && e.Key == layout.AnyClass {
			alone.Entries = append(alone.Entries, e)
		}
	}
	return alone
}

// URLHasPassword reports whether the JDBC URL of a file contains a password.
func URLHasPassword(c *secretref.ConfigFile, layout atlassian.Layout) bool {
	raw, _ := c.Get(layout.URL)
	return jdbc.Mask(raw.Reveal()) != raw.Reveal()
}

// ClassFor returns the products' cipher class that reads a reference, or "".
func ClassFor(ref secretref.Reference) string {
	switch ref.(type) {
	case secretref.AWSReference:
		return "com.atlassian.secrets.store.aws.AwsSecretsManagerStore"
	case secretref.VaultReference:
		return "com.atlassian.secrets.store.vault.VaultSecretStore"
	}
	return ""
}

// Items lists the values of a file that the product resolves.
func Items(c *secretref.ConfigFile) ([]atlassian.Item, error) {
	entries := make([]atlassian.Entry, len(c.Entries))
	for i, e := range c.Entries {
		entries[i] = Entry(e)
	}
	return atlassian.Items(atlassian.Product(c.Product), slices.All(entries))
}

// Entry returns an entry with its value in plain text.
func Entry(e secretref.Entry) atlassian.Entry {
	return atlassian.Entry{Key: e.Key, Value: e.Value.Reveal(), Line: e.Line}
}

// FromDecoded returns a decoded file as the library's type.
func FromDecoded(f *atlassian.File, path string) *secretref.ConfigFile {
	c := &secretref.ConfigFile{Product: secretref.Product(f.Product), Path: path}
	for _, e := range f.Entries {
		c.Entries = append(c.Entries,
			secretref.Entry{Key: e.Key, Value: secretref.NewSecret(e.Value), Line: e.Line})
	}
	return c
}
