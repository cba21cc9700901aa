// Package product reads the configuration files of the Atlassian Data Center
// products and knows where each keeps what is needed to reach its database.
package atlassian

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/atlassian/properties"
	"github.com/seed74218947/secretref/internal/atlassian/xmltext"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/secfile"
)

// maxFile is the size of the largest file that is read, in bytes.
const maxFile = 4 << 20

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

// Entry is one setting as the product reads it.
type Entry struct {
	Key, Value string
	Line       int
}

// File is a configuration file.
type File struct {
	Product Product
	Path    string
	Entries []Entry
}

// place is where a product keeps its file below its home directory, best first.
type place struct {
	product Product
	names   []string
}

// The home of a node has the file, or its folder shared; where that folder is
// mounted from elsewhere it can be what is named.
var places = []place{
	{Jira, []string{"dbconfig.xml"}},
	{Confluence, []string{"confluence.cfg.xml", "shared/confluence.cfg.xml", "shared-home/confluence.cfg.xml"}},
	{Bitbucket, []string{"shared/bitbucket.properties", "bitbucket.properties"}},
	{Bamboo, []string{"bamboo.cfg.xml", "shared/bamboo.cfg.xml"}},
	{Crowd, []string{"shared/crowd.cfg.xml", "crowd.cfg.xml"}},
}

// Read reads a file, or the file in a product's home directory. With an error
// the File, if there is one, has just the path of what was found there.
func Read(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, secfile.Unreadable(err)
	}
	if info.IsDir() {
		if path, err = find(path); err != nil {
			return nil, err
		}
	}
	text, err := secfile.Read(path, maxFile)
	if err != nil {
		return &File{Path: path}, err
	}
	f, err := Decode(filepath.Base(path), text)
	if err != nil {
		return &File{Path: path}, err
	}
	f.Path = path
	return f, CheckSource(f.Product, f.Entries)
}

// find returns the one configuration file in a home directory.
func find(home string) (string, error) {
	var found []string
	for _, p := range places {
		for _, name := range p.names {
			path := filepath.Join(home, filepath.FromSlash(name))
			if _, err := os.Stat(path); err == nil {
				found = append(found, path)
				break
			} else if !secfile.Absent(err) {
				return "", secfile.Unreadable(err)
			}
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fault.New(fault.NotFound, "the directory holds no configuration file of a known product "+
			"(dbconfig.xml, confluence.cfg.xml, shared/bitbucket.properties, bamboo.cfg.xml, shared/crowd.cfg.xml)").WithCause(fs.ErrNotExist)
	}
	return "", fault.New(fault.Unsupported, "the directory holds the files of more than one product: name one of %s", strings.Join(found, " and "))
}

// Decode recognises a file by its content, and where that says nothing by its
// base name. It does not look for a JNDI data source.
func Decode(name string, text []byte) (*File, error) {
	switch {
	case strings.EqualFold(filepath.Ext(name), ".xml"), looksLikeXML(text):
		return decodeXML(name, text)
	default:
		return decodeProperties(name, text)
	}
}

// looksLikeXML reports whether the first character is "<" in any encoding.
func looksLikeXML(text []byte) bool {
	for _, mark := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} {
		text = bytes.TrimPrefix(text, []byte(mark))
	}
	return bytes.HasPrefix(bytes.TrimLeft(text, "\x00 \t\r\n"), []byte("<"))
}

func decodeProperties(name string, text []byte) (*File, error) {
	pairs, err := properties.Parse(text)
	if err != nil {
		return nil, err
	}
	f := &File{Product: Bitbucket, Entries: make([]Entry, len(pairs))}
	for i, p := range pairs {
		f.Entries[i] = Entry(p)
	}
	if name != "bitbucket.properties" && !slices.ContainsFunc(f.Entries, func(e Entry) bool {
		return strings.HasPrefix(e.Key, "jdbc.") || strings.HasPrefix(e.Key, "encrypted-property.")
	}) {
		return nil, fault.New(fault.Unsupported, "it is not a configuration file of a known product: "+
			"expected dbconfig.xml, confluence.cfg.xml, bitbucket.properties, bamboo.cfg.xml or crowd.cfg.xml")
	}
	return f, nil
}

func decodeXML(name string, text []byte) (*File, error) {
	root, err := xmltext.Parse(text)
	if err != nil {
		return nil, err
	}
	switch root.Name {
	case "jira-database-config":
		entries, err := jira(root)
		if err != nil {
			return nil, err
		}
		return &File{Product: Jira, Entries: entries}, nil
	case "confluence-configuration":
		return &File{Product: Confluence, Entries: propertiesOf(root)}, nil
	case "application-configuration":
		entries := propertiesOf(root)
		p, err := bambooOrCrowd(name, entries)
		return &File{Product: p, Entries: entries}, err
	}
	return nil, fault.New(fault.Unsupported, "its root element is not that of a known product "+
		"(jira-database-config, confluence-configuration, application-configuration)")
}

// bambooOrCrowd tells the two products apart whose files have the same root
// element: by the name of the file, else by that of its properties.
func bambooOrCrowd(name string, entries []Entry) (Product, error) {
	has := func(prefix string) bool {
		return slices.ContainsFunc(entries, func(e Entry) bool { return strings.HasPrefix(e.Key, prefix) })
	}
	switch bamboo, crowd := has("bamboo."), has("crowd."); {
	case name == "bamboo.cfg.xml", name != "crowd.cfg.xml" && bamboo && !crowd:
		return Bamboo, nil
	case name == "crowd.cfg.xml", crowd && !bamboo:
		return Crowd, nil
	}
	return "", fault.New(fault.Unsupported, "it may be Bamboo's or Crowd's: name it bamboo.cfg.xml or crowd.cfg.xml")
}

// jira lists the elements of dbconfig.xml. It refuses a second data source: the
// password of one would be taken for the database of the other.
func jira(root *xmltext.Element) ([]Entry, error) {
	const source = "jdbc-datasource"
	first := 0
	for _, e := range root.Children {
		switch {
		case e.Name != source:
		case first != 0:
			return nil, fault.New(fault.Syntax, "line %d: a second %s, the first is on line %d: remove one", e.Line, source, first)
		default:
			first = e.Line
		}
	}
	l := lister{room: maxFile}
	if l.list("", root); l.room < 0 {
		return nil, fault.New(fault.Unsupported, "its elements are nested too deep")
	}
	return l.entries, nil
}

// A lister collects the elements of a file by their paths.
type lister struct {
	entries []Entry
	room    int // for more paths, in bytes: nesting could make them too many to hold
}

// list appends an entry for every element below parent that holds text, its
// key the path from the root.
func (l *lister) list(path string, parent *xmltext.Element) {
	for _, e := range parent.Children {
		if l.room -= len(path) + len(e.Name); l.room < 0 {
			return
		}
		key := path + e.Name
		if len(e.Children) == 0 || strings.TrimSpace(e.Text) != "" {
			l.entries = append(l.entries, Entry{Key: key, Value: e.Text, Line: e.Line})
		}
		l.list(key+"/", e)
	}
}

// propertiesOf lists the properties of a *.cfg.xml by their names and the other
// elements by their paths.
func propertiesOf(root *xmltext.Element) []Entry {
	var entries []Entry
	for _, e := range root.Children {
		if e.Name != "properties" {
			entries = append(entries, Entry{Key: e.Name, Value: e.Text, Line: e.Line})
			continue
		}
		for _, p := range e.Children {
			i := slices.IndexFunc(p.Attrs, func(a xmltext.Attr) bool { return a.Name == "name" })
			if p.Name == "property" && i >= 0 {
				entries = append(entries, Entry{Key: p.Attrs[i].Value, Value: p.Text, Line: p.Line})
			}
		}
	}
	return entries
}
