package atlassian

import (
	"iter"
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

// Entry is one setting as the product reads it.
type Entry struct {
	Key, Value string
	Line       int
}

// Entries are the entries of a file with their indexes, in file order. Callers
// whose entries are of another type convert them one by one, while iterating.
type Entries = iter.Seq2[int, Entry]

// Find returns the entry for key that the product reads, and its index. Without
// one the index is -1.
func Find(p Product, entries Entries, key string) (index int, found Entry) {
	index = -1
	firstWins := formats[FormatOf(p)].firstWins
	for i, e := range entries {
		if e.Key != key {
			continue
		}
		if index, found = i, e; firstWins {
			break
		}
	}
	return index, found
}

// Text returns the value of key without the white space around it. It returns ""
// if key is "" or the file has no such entry.
func Text(p Product, entries Entries, key string) string {
	if key == "" {
		return ""
	}
	_, e := Find(p, entries, key)
	return strings.TrimSpace(e.Value)
}

// checkDataSource refuses a file with a data source of the application server.
func checkDataSource(p Product, entries Entries) error {
	jndi := LayoutOf(p).JNDI
	if jndi == "" {
		return nil
	}
	for _, e := range entries {
		if e.Key == jndi || strings.HasPrefix(e.Key, jndi+"/") {
			return fault.New(fault.Unsupported, "it uses a JNDI data source (%s): the password is in the application server", jndi)
		}
	}
	return nil
}

// checkUnique refuses two different values for one key in an XML file. Which of
// them the product reads is not documented, and the other one may be a wrong
// password, or the address of another database.
func checkUnique(p Product, entries Entries, key string) error {
	if FormatOf(p) == DotProperties || key == "" {
		return nil
	}
	var first *Entry
	for _, e := range entries {
		switch {
		case e.Key != key:
		case first == nil:
			first = &e
		case e.Value != first.Value:
			return fault.New(fault.Syntax, "%s is on line %d and, with another value, on line %d: remove one", key, first.Line, e.Line)
		}
	}
	return nil
}

// All returns the entries of a file.
func (f *File) All() Entries { return slices.All(f.Entries) }
