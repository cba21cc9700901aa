package atlassian_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/test/vectors"
)

const canary = "c4nary-hunter2"

var testdata = filepath.Join("..", "..", "testdata")

// writeFile writes a file with the given name in a new directory.
func writeFile(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// read returns the configuration file with the given name and text.
func read(t *testing.T, name, text string) *atlassian.File {
	t.Helper()
	f, err := atlassian.Read(writeFile(t, name, text))
	require.NoError(t, err)
	return f
}

// sample returns the text of a file in testdata.
func sample(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{testdata}, path...)...))
	require.NoError(t, err)
	return string(text)
}

func TestRead_propertiesVectors(t *testing.T) {
	for _, v := range vectors.LoadProperties(t) {
		t.Run(v.Name, func(t *testing.T) {
			want := v.UTF8
			if !utf8.Valid(v.Input) {
				want = v.Latin1
			}
			if strings.Contains(v.Name, "lone surrogate") {
				want = nil // a Go string cannot hold a lone surrogate
			}
			c, err := atlassian.Read(writeFile(t, "bitbucket.properties", string(v.Input)))
			if want == nil {
				require.ErrorIs(t, err, fault.Syntax)
				return
			}
			require.NoError(t, err)
			got := map[string]string{}
			for _, e := range c.Entries {
				got[e.Key] = e.Value // the last one wins
			}
			require.Equal(t, *want, got)
		})
	}
}

func TestRead_xmlVectors(t *testing.T) {
	for _, v := range vectors.LoadXML(t) {
		t.Run(v.Name, func(t *testing.T) {
			require.Contains(t, []string{"dbconfig", "confluence"}, v.Kind)
			name, key, join := "dbconfig.xml", "jdbc-datasource/password", "/"
			if v.Kind == "confluence" {
				name, key, join = "confluence.cfg.xml", "hibernate.connection.password", "="
			}
			c, err := atlassian.Read(writeFile(t, name, string(v.Input)))
			switch {
			case bytes.Contains(v.Input, []byte("<!DOCTYPE")), strings.Contains(v.Name, "unknown encoding"):
				require.ErrorIs(t, err, fault.Unsupported, "dom4j accepts a subset")
				return
			case v.GetText == nil:
				require.ErrorIs(t, err, fault.Syntax)
				return
			}
			require.NoError(t, err)
			got := []string{}
			for _, e := range c.Entries {
				if strings.TrimSpace(e.Key) == key {
					got = append(got, strings.TrimSuffix(e.Key, "/password")+join+e.Value)
				}
			}
			require.Equal(t, *v.GetText, got)
		})
	}
}

func TestRead_confluenceProperties(t *testing.T) {
	c := read(t, "confluence.cfg.xml", `<confluence-configuration><a>1</a><properties>
<property name="b">2</property><property>3</property><other name="hibernate.connection.password">4</other><property NAME="hibernate.connection.password">5</property>
</properties></confluence-configuration>`)
	require.Equal(t, []atlassian.Entry{{"a", "1", 1}, {"b", "2", 2}}, c.Entries)
}

func TestRead_forms(t *testing.T) {
	text := sample(t, "jira", "dbconfig.xml")
	want, err := atlassian.Read(filepath.Join(testdata, "jira"))
	require.NoError(t, err)
	for name, other := range map[string]struct{ file, text string }{
		"Windows line ends": {"dbconfig.xml", strings.ReplaceAll(text, "\n", "\r\n")},
		"old Mac line ends": {"dbconfig.xml", strings.ReplaceAll(text, "\n", "\r")},
		"a byte order mark": {"dbconfig.xml", "\ufeff" + text},
		"UTF-16": {
			"dbconfig.xml", utf16Text(strings.Replace(text, "UTF-8", "UTF-16", 1), binary.LittleEndian),
		},
		"UTF-16, big-endian": {
			"dbconfig.xml", utf16Text(strings.Replace(text, "UTF-8", "UTF-16", 1), binary.BigEndian),
		},
		"CDATA": {
			"dbconfig.xml", strings.NewReplacer("<password>", "<password><![CDATA[", "</password>",
				"]]></password>").Replace(text),
		},
		"another name": {"dbconfig.xml.bak", text},
		"no extension, with mark": {
			"config", utf16Text(strings.Replace(text, "UTF-8", "UTF-16", 1), binary.LittleEndian),
		},
		"a DOCTYPE that says no more than the name": {
			"dbconfig.xml", strings.Replace(text, "\n\n", "\n<!DOCTYPE jira-database-config>\n", 1),
		},
	} {
		got := read(t, other.file, other.text)
		require.Equal(t, want.Product, got.Product, name)
		require.Equal(t, want.Entries, got.Entries, name)
	}
	require.Equal(t, atlassian.Bitbucket, read(t, "my.conf", "x=1\njdbc.url=x\n").Product)
	require.Equal(t, atlassian.Bitbucket, read(t, "my.conf",
		"encrypted-property.cipher.classname=x").Product)
	require.Equal(t, atlassian.Bitbucket, read(t, "bitbucket.properties", "").Product,
		"the name is enough")
}

// utf16Text encodes s in UTF-16 with a byte order mark.
func utf16Text(s string, order binary.AppendByteOrder) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune("\ufeff" + s)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

func TestRead_loneSurrogate(t *testing.T) {
	utf16 := func(text string) string { // little-endian; each "!" becomes a lone surrogate
		units := "\xff\xfe"
		for _, c := range text {
			if c == '!' {
				units += "\x00\xd8"
			} else {
				units += string(c) + "\x00"
			}
		}
		return units
	}
	for name, file := range map[string][2]string{
		"in .properties": {
			"bitbucket.properties", "a=1\njdbc.password=" + canary + `\uD800`,
		},
		"in .properties, UTF-8": {
			"bitbucket.properties", "a=1\njdbc.password=" + canary + "\xed\xa0\x80",
		},
		"in .properties, in the key": {"bitbucket.properties", "a=1\njdbc.pass\\udc00word=" + canary},
		"in XML": {
			"dbconfig.xml", "<jira-database-config>\n<jdbc-datasource><password>" + canary +
				"&#xD800;</password></jdbc-datasource></jira-database-config>",
		},
		"in XML, decimal": {
			"dbconfig.xml", "<jira-database-config>\n<jdbc-datasource><password>" + canary +
				"&#56832;</password></jdbc-datasource></jira-database-config>",
		},
		"in XML, a pair of references": {
			"dbconfig.xml", "<jira-database-config>\n<jdbc-datasource><password>" + canary +
				"&#xD83D;&#xDE00;</password></jdbc-datasource></jira-database-config>",
		},
		"in XML, UTF-8": {
			"dbconfig.xml", "<jira-database-config>\n<jdbc-datasource><password>" + canary +
				"\xed\xa0\x80</password></jdbc-datasource></jira-database-config>",
		},
		"in XML, UTF-16": {
			"dbconfig.xml", utf16("<jira-database-config>\n<jdbc-datasource><password>" + canary +
				"!</password></jdbc-datasource></jira-database-config>"),
		},
		"in XML, UTF-16, cut in a unit": {
			"dbconfig.xml", utf16("<jira-database-config>\n<jdbc-datasource><password>"+canary) + "x",
		},
		"a property of Confluence": {
			"confluence.cfg.xml",
			"<confluence-configuration><properties>\n<property name=\"hibernate.connection.password\">" +
				canary + "&#xD800;</property></properties></confluence-configuration>",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := atlassian.Read(writeFile(t, file[0], file[1]))
			require.ErrorIs(t, err, fault.Syntax)
			require.ErrorContains(t, err, "line 2: ")
			require.NotContains(t, err.Error(), canary)
		})
	}
}
