package atlassian

import (
	"bytes"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/xmltext"
	"github.com/seed74218947/secretref/internal/fault"
)

func TestReadBelowFile(t *testing.T) {
	home := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(home, "shared"), nil, 0o600))
	_, err := Read(filepath.Join(home, "shared", "bitbucket.properties"))
	require.ErrorIs(t, err, fault.NotFound)
	require.ErrorIs(t, err, fs.ErrNotExist)

	require.NoError(t,
		os.WriteFile(filepath.Join(home, "dbconfig.xml"), []byte("<jira-database-config/>"), 0o600))
	f, err := Read(home)
	require.NoError(t, err, "the file is not searched below a file named shared")
	require.Equal(t, Jira, f.Product)
}

func TestLooksLikeXML(t *testing.T) {
	for _, text := range []string{"<a/>", " \n<a/>", "\ufeff<a/>", "\xff\xfe<\x00a\x00",
		"\xfe\xff\x00<\x00a", "<\x00a\x00", "\x00<\x00a"} {
		require.True(t, looksLikeXML([]byte(text)), "%q", text)
	}
	for _, text := range []string{"", "a=<b>", "\xff<a/>", "é<a/>", "#<a/>"} {
		require.False(t, looksLikeXML([]byte(text)), "%q", text)
	}
}

func TestDecodeLimitsPaths(t *testing.T) {
	deep := strings.Repeat("<a>", 900) + strings.Repeat("<b/>", 10_000) + strings.Repeat("</a>", 900)
	name := strings.Repeat("n", 1<<20)
	for _, body := range []string{deep,
		"<" + name + ">" + strings.Repeat("<b/>", 500_000) + "</" + name + ">"} {
		_, err := Decode("dbconfig.xml", []byte("<jira-database-config>"+body+"</jira-database-config>"))
		require.ErrorIs(t, err, fault.Unsupported)
	}
}

func TestItemsLargeFile(t *testing.T) {
	entries := make([]Entry, maxFile/4)
	for i := range entries {
		entries[i] = Entry{Key: string(rune('a' + i%26)), Value: "{ENC}", Line: i}
	}
	items, err := Items(Bitbucket, slices.All(entries)) // quadratic time would take hours
	require.NoError(t, err)
	require.Len(t, items, 26)
}

func TestItemText(t *testing.T) {
	const anyClass, passwordClass = "encrypted-property.cipher.classname",
		"jdbc.password.decrypter.classname"
	for name, row := range map[string]struct {
		key, value   string
		any, old     string // classes
		class, given string
		plaintext    bool
	}{
		"the prefix is removed, and nothing else": {key: "x", value: "{ENC} a b ", any: "com.A",
			class: "com.A", given: " a b "},
		"white space before the prefix": {key: "x", value: "\t <ENC>a", any: "com.A",
			class: "com.A", given: "a"},
		"only one prefix is removed": {key: "x", value: "{ENC}{ENC}a", any: "com.A",
			class: "com.A", given: "{ENC}a"},
		"no class: a reference": {key: "x", value: "{ENC}a", given: "{ENC}a"},
		"a misspelled prefix is not removed": {key: "x", value: "{enc}a", any: "com.A",
			given: "{enc}a"},
		"a misspelled prefix of the password": {key: "jdbc.password", value: "{Enc}a",
			any: "com.A", given: "{Enc}a"},
		"the older class receives the value unchanged": {key: "jdbc.password", value: " {enc}a ",
			old: "com.B", class: "com.B", given: " {enc}a "},
		"two classes, a prefix": {key: "jdbc.password", value: "{ENC}a",
			any: "com.A", old: "com.B", class: "com.A", given: "a"},
		"two classes, no prefix": {key: "jdbc.password", value: "a", any: "com.A",
			old: "com.B", class: "com.B", given: "a"},
		"the older class with the newer form": {key: "jdbc.password", value: "{ENC}a",
			old: "com.B", class: "com.B", given: "{ENC}a"},
		"white space around a class": {key: "x", value: "{ENC}a", any: " com.A\t",
			class: "com.A", given: "a"},
		"a plaintext password": {key: "jdbc.password", value: "a", any: "com.A",
			given: "a"},
		"other plaintext": {key: "x", value: "a{ENC}", any: "com.A",
			plaintext: true},
		"a part of a prefix": {key: "x", value: "{ENC", any: "com.A",
			plaintext: true},
	} {
		t.Run(name, func(t *testing.T) {
			entries := []Entry{{row.key, "{ENC}an earlier value", 1}, {row.key, row.value, 2}}
			if row.any != "" {
				entries = append(entries, Entry{anyClass, row.any, 3})
			}
			if row.old != "" {
				entries = append(entries, Entry{passwordClass, row.old, 4})
			}
			items, err := Items(Bitbucket, slices.All(entries))
			require.NoError(t, err)
			if row.plaintext {
				require.Empty(t, items)
				return
			}
			require.Equal(t,
				[]Item{{Entry: Entry{row.key, row.value, 2}, Index: 1, Class: row.class,
					Text: row.given}}, items)
		})
	}
}

func TestTextEmptyKey(t *testing.T) {
	entries := []Entry{{"", "x", 1}}
	require.Empty(t, Text(Bitbucket, slices.All(entries), LayoutOf(Bitbucket).Schema),
		"Bitbucket has no schema")
	i, e := Find(Bitbucket, slices.All(entries), "")
	require.Zero(t, i, "but a file can have such a key")
	require.Equal(t, "x", e.Value)
}

func TestItemsUnknownProduct(t *testing.T) {
	_, err := Items("fisheye", slices.All([]Entry{{"", "x", 1}}))
	require.ErrorIs(t, err, fault.Unsupported)
}

// FuzzDecode checks that entries are in file order with lines of the file, and that
// errors are of a known kind.
func FuzzDecode(f *testing.F) {
	for _, path := range []string{"jira/dbconfig.xml", "confluence/confluence.cfg.xml",
		"bitbucket/shared/bitbucket.properties"} {
		text, err := os.ReadFile(filepath.Join("../../testdata", filepath.FromSlash(path)))
		require.NoError(f, err)
		f.Add(text)
		f.Add(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")))
	}
	f.Add([]byte("<jira-database-config><jndi-datasource/></jira-database-config>"))
	f.Add([]byte("<?xml version='1.1'?><confluence-configuration>\r\n<properties>\r<property name='a'>&#1;</property></properties></confluence-configuration>"))
	f.Fuzz(func(t *testing.T, text []byte) {
		maxLine := 1
		for _, end := range []byte("\n\r") {
			maxLine += bytes.Count(text, []byte{end})
		}
		for _, name := range []string{"dbconfig.xml", "bitbucket.properties", "other"} {
			file, err := Decode(name, text)
			if err != nil {
				e, ok := err.(*fault.Error)
				require.True(t, ok)
				require.Contains(t, []error{fault.Syntax, fault.Unsupported}, e.Kind)
				continue
			}
			line := 1
			for _, e := range file.Entries {
				require.GreaterOrEqual(t, e.Line, line)
				line = e.Line
			}
			require.LessOrEqual(t, line, maxLine)
			items, err := Items(file.Product, file.All())
			if err != nil {
				continue
			}
			line = math.MinInt
			for _, item := range items {
				require.GreaterOrEqual(t, item.Line, line)
				line = item.Line
				i, found := Find(file.Product, file.All(), item.Key)
				require.Equal(t, item.Index, i)
				require.Equal(t, found, item.Entry, "the product must read the resolved entry")
			}
		}
	})
}

// TestElements checks that an entry of a sample file is that of its element.
func TestElements(t *testing.T) {
	for _, path := range []string{"jira/dbconfig.xml", "confluence/confluence.cfg.xml",
		"bamboo/bamboo.cfg.xml", "crowd/shared/crowd.cfg.xml"} {
		text, err := os.ReadFile(filepath.Join("../../testdata", filepath.FromSlash(path)))
		require.NoError(t, err)
		file, err := Decode(filepath.Base(path), text)
		require.NoError(t, err)
		root, err := xmltext.Parse(text)
		require.NoError(t, err)
		elements, err := Elements(file.Product, root)
		require.NoError(t, err)
		require.Len(t, elements, len(file.Entries))
		for i, e := range file.Entries {
			require.Equal(t, e.Value, elements[i].Text)
			require.Equal(t, e.Line, elements[i].Line)
		}
	}
}
