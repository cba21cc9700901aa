package atlassian

import (
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/atlassian/xmltext"
	"github.com/seed74218947/secretref/internal/fault"
)

// Format is the form of a configuration file.
type Format uint8

// The formats.
const (
	NoFormat      Format = iota
	DBConfig             // dbconfig.xml: keys are the paths of elements
	CfgXML               // *.cfg.xml: keys are the names of property elements
	DotProperties        // .properties
)

// A Layout has the keys of the entries for the database connection. A key is ""
// if the format has no such entry.
type Layout struct {
	Driver, URL, Username, Schema string

	// Properties for the JDBC driver besides the URL are in one entry,
	// name=value;name=value, or in entries whose keys have a prefix.
	PropertyList, PropertyPrefix string

	Password string
	Class    string // the cipher class of the password
	AnyClass string // the cipher class of every value with a prefix
	JNDI     string // if it is present, the file has no password
}

// A format describes how files of a Format are read.
type format struct {
	layout Layout

	// list returns the entries of an XML file and the element of each.
	list func(root *xmltext.Element) ([]Entry, []*xmltext.Element, error)

	// firstWins selects the entry that the product reads, of several with one
	// key: the first if it is set, otherwise the last.
	firstWins bool
}

var formats = [...]format{
	NoFormat: {},
	DBConfig: {
		layout: Layout{
			Driver:       "jdbc-datasource/driver-class",
			URL:          "jdbc-datasource/url",
			Username:     "jdbc-datasource/username",
			Schema:       "schema-name",
			PropertyList: "jdbc-datasource/connection-properties",
			Password:     "jdbc-datasource/password",
			Class:        "jdbc-datasource/atlassian-password-cipher-provider",
			JNDI:         "jndi-datasource",
		},
		list:      listElements,
		firstWins: true,
	},
	CfgXML: {
		layout: Layout{
			Driver:         "hibernate.connection.driver_class",
			URL:            "hibernate.connection.url",
			Username:       "hibernate.connection.username",
			Schema:         "hibernate.default_schema",
			PropertyPrefix: "hibernate.connection.",
			Password:       "hibernate.connection.password",
			Class:          "jdbc.password.decrypter.classname",
			JNDI:           "hibernate.connection.datasource",
		},
		list: listProperties, // into a map, so that the last one wins
	},
	DotProperties: {
		layout: Layout{
			Driver:   "jdbc.driver",
			URL:      "jdbc.url",
			Username: "jdbc.user",
			Password: "jdbc.password",
			Class:    "jdbc.password.decrypter.classname",
			AnyClass: "encrypted-property.cipher.classname",
		},
	},
}

// Elements returns the element of each entry of a product's XML file.
func Elements(p Product, root *xmltext.Element) ([]*xmltext.Element, error) {
	_, elements, err := formats[FormatOf(p)].list(root)
	return elements, err
}

// listElements lists the elements of dbconfig.xml with their paths as keys. It
// refuses a second data source: the password of one could be used for the database
// of the other.
func listElements(root *xmltext.Element) ([]Entry, []*xmltext.Element, error) {
	const source = "jdbc-datasource"
	first := 0
	for _, e := range root.Children {
		switch {
		case e.Name != source:
		case first != 0:
			return nil, nil, fault.New(fault.Syntax,
				"line %d: a second %s, the first is on line %d: remove one", e.Line, source, first)
		default:
			first = e.Line
		}
	}
	l := elementLister{maxPaths: maxFile}
	if l.list("", root); l.maxPaths < 0 {
		return nil, nil, fault.New(fault.Unsupported, "its elements are nested too deep")
	}
	return l.entries, l.elements, nil
}

// An elementLister collects the elements of a file by their paths.
type elementLister struct {
	entries  []Entry
	elements []*xmltext.Element
	maxPaths int // bytes that are left for paths: deep nesting could fill the memory
}

// list appends an entry for every element below parent that has text or no
// children.
func (l *elementLister) list(path string, parent *xmltext.Element) {
	for _, e := range parent.Children {
		if l.maxPaths -= len(path) + len(e.Name); l.maxPaths < 0 {
			return
		}
		key := path + e.Name
		if len(e.Children) == 0 || strings.TrimSpace(e.Text) != "" {
			l.entries = append(l.entries, Entry{Key: key, Value: e.Text, Line: e.Line})
			l.elements = append(l.elements, e)
		}
		l.list(key+"/", e)
	}
}

// listProperties lists the properties of a *.cfg.xml by their names and the other
// elements below the root by theirs.
func listProperties(root *xmltext.Element) (entries []Entry, elements []*xmltext.Element,
	err error) {
	add := func(key string, e *xmltext.Element) {
		entries = append(entries, Entry{Key: key, Value: e.Text, Line: e.Line})
		elements = append(elements, e)
	}
	for _, e := range root.Children {
		if e.Name != "properties" {
			add(e.Name, e)
			continue
		}
		for _, p := range e.Children {
			i := slices.IndexFunc(p.Attrs, func(a xmltext.Attr) bool { return a.Name == "name" })
			if p.Name == "property" && i >= 0 {
				add(p.Attrs[i].Value, p)
			}
		}
	}
	return entries, elements, nil
}

// hibernateOnly are properties of a connection that Hibernate keeps from the
// driver, besides those of the layout.
var hibernateOnly = []string{
	"isolation", "autocommit", "pool_size", "provider_class", "release_mode", "handling_mode",
	"provider_disables_autocommit",
}

// DriverProperties returns the properties that the file has for the JDBC driver
// besides the URL, one per line, name=value. It leaves out tcpKeepAlive, which
// Jira's setup writes and Go does by itself.
func DriverProperties(p Product, entries Entries) string {
	l := LayoutOf(p)
	var lines []string
	add := func(name, value string) {
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if name != "" && name != "tcpKeepAlive" {
			lines = append(lines, name+"="+strings.ReplaceAll(value, "\n", " "))
		}
	}
	for pair := range strings.SplitSeq(Text(p, entries, l.PropertyList), ";") {
		name, value, _ := strings.Cut(pair, "=")
		add(name, value)
	}
	if l.PropertyPrefix == "" {
		return strings.Join(lines, "\n")
	}
	layoutKeys := []string{l.Driver, l.URL, l.Username, l.Password, l.JNDI}
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Key, l.PropertyPrefix)
		if ok && !slices.Contains(hibernateOnly, name) && !slices.Contains(layoutKeys, e.Key) {
			add(name, e.Value)
		}
	}
	return strings.Join(lines, "\n")
}
