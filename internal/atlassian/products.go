// Package atlassian reads the configuration files of the Atlassian Data Center
// products: which file a product has, which keys hold its database connection,
// and which cipher class protects a value. It resolves nothing.
//
// A new product is a row in the table of products.go, a constant in package
// secretref, and a sample file in testdata at the root of the module. Only a
// product whose file has another form than those of formats.go needs an entry
// there, too. A new cipher class is a row in the table of class.go.
package atlassian

import (
	"path"
	"slices"
	"strings"
)

// Product names a product in lower case.
type Product string

// The products.
const (
	Jira       Product = "jira"
	Confluence Product = "confluence"
	Bitbucket  Product = "bitbucket"
	Bamboo     Product = "bamboo"
	Crowd      Product = "crowd"
)

// A productFile describes the configuration file of a product.
type productFile struct {
	product Product
	format  Format

	// paths are the places of the file below the home directory, best first.
	// The home of a node has the file itself or in its folder shared; if that
	// folder is mounted elsewhere, it can be given as the home.
	paths []string

	// root is the root element of an XML file.
	root string

	// keyPrefixes identify a file by its entries, if neither its name nor its
	// root element does.
	keyPrefixes []string
}

var products = []productFile{
	{
		product: Jira,
		format:  DBConfig,
		paths:   []string{"dbconfig.xml"},
		root:    "jira-database-config",
	}, {
		product: Confluence,
		format:  CfgXML,
		paths: []string{
			"confluence.cfg.xml", "shared/confluence.cfg.xml", "shared-home/confluence.cfg.xml",
		},
		root: "confluence-configuration",
	}, {
		product:     Bitbucket,
		format:      DotProperties,
		paths:       []string{"shared/bitbucket.properties", "bitbucket.properties"},
		keyPrefixes: []string{"jdbc.", "encrypted-property."},
	}, {
		product:     Bamboo,
		format:      CfgXML,
		paths:       []string{"bamboo.cfg.xml", "shared/bamboo.cfg.xml"},
		root:        "application-configuration",
		keyPrefixes: []string{"bamboo."},
	}, {
		product:     Crowd,
		format:      CfgXML,
		paths:       []string{"shared/crowd.cfg.xml", "crowd.cfg.xml"},
		root:        "application-configuration",
		keyPrefixes: []string{"crowd."},
	},
}

// FormatOf returns the format of a product's file, or NoFormat.
func FormatOf(p Product) Format {
	i := slices.IndexFunc(products, func(f productFile) bool { return f.product == p })
	if i < 0 {
		return NoFormat
	}
	return products[i].format
}

// LayoutOf returns the layout of a product's file.
func LayoutOf(p Product) Layout { return formats[FormatOf(p)].layout }

// fileName returns the usual name of the product's file.
func (f productFile) fileName() string { return path.Base(f.paths[0]) }

// matchesKeys reports whether an entry has a key that identifies the product.
func (f productFile) matchesKeys(entries []Entry) bool {
	return slices.ContainsFunc(entries, func(e Entry) bool {
		return slices.ContainsFunc(f.keyPrefixes,
			func(p string) bool { return strings.HasPrefix(e.Key, p) })
	})
}

// chooseProduct returns which of the candidates a file belongs to: by its name,
// else by the keys of its entries.
func chooseProduct(candidates []productFile, name string, entries []Entry) (found productFile,
	ok bool) {
	for _, f := range candidates {
		if f.fileName() == name {
			return f, true
		}
	}
	matches := slices.DeleteFunc(slices.Clone(candidates),
		func(f productFile) bool { return !f.matchesKeys(entries) })
	if len(matches) != 1 {
		return productFile{}, false
	}
	return matches[0], true
}

// fileNames lists the usual names of files, for messages.
func fileNames(files []productFile) string {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.fileName()
	}
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
