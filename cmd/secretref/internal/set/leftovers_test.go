package set

import (
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/atlassian/edit"
)

func TestLinesContaining(t *testing.T) {
	const awsClass = "com.atlassian.secrets.store.aws.AwsSecretsManagerStore"
	xml := func(line string) string {
		return "<?xml version='1.0'?>\n<jira-database-config>\n" + line +
			"\n<jdbc-datasource><password>PASSWORD</password></jdbc-datasource></jira-database-config>"
	}
	utf16Text := func(s string) string {
		var b []byte
		for _, u := range utf16.Encode([]rune("\ufeff" + s)) {
			b = append(b, byte(u>>8), byte(u))
		}
		return string(b)
	}
	for name, row := range map[string]struct {
		name, text, password string
		value                string // if empty, a reference
		want                 lineNumbers
	}{
		"comment": {"dbconfig.xml", xml("<!-- s3cr<t -->"), "s3cr<t",
			"", lineNumbers{3}},
		"comment of markup": {"dbconfig.xml",
			xml("<!-- <password>s3cr&lt;t</password> -->"), "s3cr<t", "", lineNumbers{3}},
		"quoted by others": {"dbconfig.xml",
			xml("<!-- s3&quot;cr&#x27;&#60;t -->"), `s3"cr'<t`, "", lineNumbers{3}},
		"another element": {"dbconfig.xml", xml("<x>s3<![CDATA[cr<]]>t</x>"),
			"s3cr<t", "", lineNumbers{3}},
		"on two lines": {"dbconfig.xml", xml("<x\n>s3<!--\n-->cret</x>"),
			"s3cret", "", lineNumbers{3}},
		"percent-encoded": {"dbconfig.xml",
			xml("<url>jdbc:x?a=b&amp;pass=s3%c3%a9+%2f%zz&amp;c</url>"), "s3é /%zz", "", lineNumbers{3}},
		"a plus that is one": {"dbconfig.xml",
			xml("<url>jdbc:x?pass=s3+%2fcr</url>"), "s3+/cr", "", lineNumbers{3}},
		"UTF-16": {"dbconfig.xml",
			utf16Text(strings.Replace(xml("<!-- s3crét -->"), "\n", "\r\n",
				1)), "s3crét", "", lineNumbers{3}},
		"ISO-8859-1": {"dbconfig.xml",
			strings.Replace(xml("<!-- s3cr\xe9t -->"), "'1.0'", "'1.0' encoding='ISO-8859-1'",
				1), "s3crét", "", lineNumbers{3}},
		"twice": {"dbconfig.xml",
			xml("<!-- s3cret -->\n\n<!-- s3cret --><x>s3cret</x>"), "s3cret", "", lineNumbers{3,
				5}},
		"before the declared line": {"dbconfig.xml", "<!-- s3cret -->" +
			strings.TrimPrefix(xml(""), "<?xml version='1.0'?>"), "s3cret", "", lineNumbers{1}},
		"nowhere": {"dbconfig.xml", xml("<!-- s3cre -->"), "s3cret", "",
			nil},
		"a short one": {"dbconfig.xml", xml("<!-- abc -->"), "abc", "",
			nil},
		"four characters": {"dbconfig.xml", xml("<!-- abcd -->"), "abcd", "",
			lineNumbers{3}},
		"part of the reference": {"dbconfig.xml", xml("<!-- eu-west-12 -->"),
			"eu-west-1", "", lineNumbers{3}},
		"part of the class": {"dbconfig.xml", xml("<x>" + awsClass + "</x>"),
			"atlassian.secrets", "", nil},
		"part of the new password": {"dbconfig.xml", xml("<!-- s3cret -->"), "s3cret",
			"s3cret&2", lineNumbers{3}},
		"part of it, quoted": {"dbconfig.xml",
			strings.Replace(xml(""), "'1.0'", "'1.0' encoding='us-ascii'",
				1), "s3cret", "s3cret€", nil},
		"comment in .properties": {"bitbucket.properties",
			"a=b\n#jdbc.password=s3cr\\\\t\njdbc.password=PASSWORD\n", `s3cr\t`, "", lineNumbers{2}},
		"escapes in a comment": {"bitbucket.properties",
			"#jdbc.password=\\ s3\\u00e9\\ud83d\\ude00\\t\\=\njdbc.password=PASSWORD\n", "s3é😀\t=", "",
			lineNumbers{1}},
		"raw in a comment": {"bitbucket.properties",
			"#jdbc.password=s3\\u00e9\njdbc.password=PASSWORD\n", `s3\u00e9`, "", lineNumbers{1}},
		"another key, continued": {"bitbucket.properties",
			"a=b\r\nc=s3\\\r\n  cret\r\njdbc.password=PASSWORD\r\n", "s3cret", "", lineNumbers{2}},
		"ISO-8859-1 in .properties": {"bitbucket.properties",
			"a=b\r#s3cr\xe9t\rjdbc.password=PASSWORD", "s3crét", "", lineNumbers{2}},
		"percent-encoded in .properties": {"bitbucket.properties",
			"jdbc.url=jdbc\\:x?password\\=s3%3Dt\njdbc.password=PASSWORD", "s3=t", "", lineNumbers{1}},
		"the new password beside the old one": {"bitbucket.properties",
			"#s3cret\njdbc.password=PASSWORD", "s3cret", "s3cret2", lineNumbers{1}},
	} {
		t.Run(name, func(t *testing.T) {
			j := newSetOperation(t, row.name, row.text, row.value, awsClass)
			got := j.linesContaining(row.password)
			assert.Equal(t, row.want, got)
		})
	}
}

func TestLineNumbers_String(t *testing.T) {
	assert.Equal(t, "line 3", lineNumbers{3}.String())
	assert.Equal(t, "lines 3 and 5", lineNumbers{3, 5}.String())
	assert.Equal(t, "lines 3, 5 and 8", lineNumbers{3, 5, 8}.String())
}

func TestReportLeftovers_ignoresNewPassword(t *testing.T) {
	for old, want := range map[string]bool{"s3cret": true, "wanted": false} {
		j := newSetOperation(t, "bitbucket.properties", "#"+old+"\njdbc.password=x", "wanted", "")
		var out strings.Builder
		j.out, j.old, j.oldKnown = &out, secretref.NewSecret(old), true
		j.reportLeftovers()
		assert.Equal(t, want, strings.Contains(out.String(), "still in line 1"))
		assert.NotContains(t, out.String(), old)
		out.Reset()
		j.oldKnown = false
		j.reportLeftovers()
		assert.Empty(t, out.String())
	}
}

// newSetOperation returns an operation whose change is planned: a reference with a
// class, or a plaintext value.
func newSetOperation(t *testing.T, name, text, value, class string) *setOperation {
	t.Helper()
	if value == "" {
		value = `{"region":"eu-west-1","secretId":"a"}`
	} else {
		class = ""
	}
	j := &setOperation{change: edit.Change{Value: value, Class: class}}
	j.path = name
	file, err := atlassian.Decode(name, []byte(text))
	require.NoError(t, err)
	j.layout = atlassian.LayoutOf(file.Product)
	j.result, err = edit.Apply(name, []byte(text), j.change)
	require.NoError(t, err)
	return j
}
