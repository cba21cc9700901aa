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

// maxFile limits the files that are read, in bytes.
const maxFile = 4 << 20

// File is a configuration file.
type File struct {
	Product Product
	Path    string
	Entries []Entry
}

// Read reads a file, or the file in a product's home directory. If it returns an
// error, the File is nil or has only the path of the file that was found.
func Read(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, secfile.Unreadable(err)
	}
	if info.IsDir() {
		if path, err = findFile(path); err != nil {
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
	return f, checkDataSource(f.Product, f.All())
}

// findFile returns the only configuration file in a home directory.
func findFile(home string) (string, error) {
	var found, expected []string
	for _, p := range products {
		expected = append(expected, p.paths[0])
		for _, name := range p.paths {
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
		return "", fault.New(fault.NotFound,
			"the directory holds no configuration file of a known product (%s)",
			strings.Join(expected, ", ")).WithCause(fs.ErrNotExist)
	}
	return "", fault.New(fault.Unsupported,
		"the directory holds the files of more than one product: name one of %s",
		strings.Join(found, " and "))
}

// Decode recognizes a file by its content or, if that is ambiguous, by its base
// name. It does not refuse a JNDI data source.
func Decode(name string, text []byte) (*File, error) {
	if strings.EqualFold(filepath.Ext(name), ".xml") || looksLikeXML(text) {
		return decodeXML(name, text)
	}
	return decodeProperties(name, text)
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
	entries := make([]Entry, len(pairs))
	for i, p := range pairs {
		entries[i] = Entry(p)
	}
	candidates := slices.DeleteFunc(slices.Clone(products),
		func(f productFile) bool { return f.format != DotProperties })
	f, ok := chooseProduct(candidates, name, entries)
	if !ok {
		return nil, fault.New(fault.Unsupported,
			"it is not a configuration file of a known product: expected %s", fileNames(products))
	}
	return &File{Product: f.product, Entries: entries}, nil
}

func decodeXML(name string, text []byte) (*File, error) {
	root, err := xmltext.Parse(text)
	if err != nil {
		return nil, err
	}
	var candidates []productFile
	var roots []string
	for _, f := range products {
		if f.root == root.Name {
			candidates = append(candidates, f)
		}
		if f.root != "" && !slices.Contains(roots, f.root) {
			roots = append(roots, f.root)
		}
	}
	if candidates == nil {
		return nil, fault.New(fault.Unsupported,
			"its root element is not that of a known product (%s)", strings.Join(roots, ", "))
	}
	entries, _, err := formats[candidates[0].format].list(root)
	if err != nil {
		return nil, err
	}
	f := candidates[0]
	if len(candidates) > 1 {
		var ok bool
		if f, ok = chooseProduct(candidates, name, entries); !ok {
			return nil, fault.New(fault.Unsupported,
				"its product is not clear: name it %s", fileNames(candidates))
		}
	}
	return &File{Product: f.product, Entries: entries}, nil
}
