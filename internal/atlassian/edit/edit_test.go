package edit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/edit"
	"github.com/seed74218947/secretref/internal/fault"
)

const (
	awsClass   = "com.atlassian.secrets.store.aws.AwsSecretsManagerStore"
	vaultClass = "com.atlassian.secrets.store.vault.VaultSecretStore"
	ref        = `{"region":"eu-west-1","secretId":"a"}`
	vaultRef   = `{"mount":"m","path":"p","key":"k","endpoint":"https://v.example"}`
)

var toAWS = edit.Change{Value: ref, Class: awsClass}

// row is a file before and after a change.
type row struct {
	name, was, is string
	change        edit.Change // zero: toAWS
}

func jira(inner string) string {
	return "<jira-database-config><jdbc-datasource>" + inner +
		"</jdbc-datasource></jira-database-config>"
}

const jiraClass = "<atlassian-password-cipher-provider>" + awsClass +
	"</atlassian-password-cipher-provider>"

func hibernate(inner string) string {
	return "<confluence-configuration><properties>" + inner +
		"</properties></confluence-configuration>"
}

const (
	wikiPassword = `<property name="hibernate.connection.password">`
	wikiClass    = `<property name="jdbc.password.decrypter.classname">` + awsClass + `</property>`
)

var xmlRows = []row{
	{name: "class on a line of its own, indented as the password",
		was: jira("\n\t  <password>old</password>\n"),
		is:  jira("\n\t  " + jiraClass + "\n\t  <password>" + ref + "</password>\n")},
	{name: "line ends are as they were",
		was: jira("\r\n <password>old</password>\r\n"),
		is:  jira("\r\n " + jiraClass + "\r\n <password>" + ref + "</password>\r\n")},
	{name: "line ends of old", was: jira("\r <password>old</password>\r"),
		is: jira("\r " + jiraClass + "\r <password>" + ref + "</password>\r")},
	{name: "all on one line", was: jira("<url>u</url> <password>old</password>"),
		is: jira("<url>u</url> " + jiraClass + "<password>" + ref + "</password>")},
	{name: "comment before it on its line", was: jira("\n<!-- a --> <password>old</password>"),
		is: jira("\n<!-- a --> " + jiraClass + "<password>" + ref + "</password>")},
	{name: "comments within it stay", was: jira("<password>o<!-- & < -->ld!<?x y?></password>"),
		is: jira(jiraClass + "<password><!-- & < -->" + ref + "<?x y?></password>")},
	{name: "nothing but a comment", was: jira("<password><!-- none --></password>"),
		is: jira(jiraClass + "<password>" + ref + "<!-- none --></password>")},
	{name: "empty element", was: jira("<password a='1' />"),
		is: jira(jiraClass + "<password a='1' >" + ref + "</password>")},
	{name: "CDATA and references", was: jira("<password>&amp;<![CDATA[<]]>&#x41;</password>"),
		is: jira(jiraClass + "<password>" + ref + "</password>")},
	{name: "space in the tags", was: jira("<password\n>old</password\n>"),
		is: jira(jiraClass + "<password\n>" + ref + "</password\n>")},
	{name: "a prefix",
		was: `<j:jira-database-config xmlns:j="u"><j:jdbc-datasource><j:password>x</j:password></j:jdbc-datasource></j:jira-database-config>`,
		is: `<j:jira-database-config xmlns:j="u"><j:jdbc-datasource><j:atlassian-password-cipher-provider>` + awsClass +
			`</j:atlassian-password-cipher-provider><j:password>` + ref +
			`</j:password></j:jdbc-datasource></j:jira-database-config>`},
	{name: "the class is there, behind it",
		was: jira("<password>old</password>" + strings.Replace(jiraClass, awsClass, " a.B\n", 1)),
		is:  jira("<password>" + ref + "</password>" + jiraClass)},
	{name: "the class is right already", was: jira(jiraClass + "<password>old</password>"),
		is: jira(jiraClass + "<password>" + ref + "</password>")},
	{name: "what has a meaning in XML", change: edit.Change{Value: `a<b>&"']]>`},
		was: jira("<password>old</password>"), is: jira("<password>a&lt;b&gt;&amp;\"']]&gt;</password>")},
	{name: "white space of a plaintext", change: edit.Change{Value: " a\tb\n\r "},
		was: jira("<password>old</password>"), is: jira("<password> a&#9;b&#10;&#13; </password>")},
	{name: "back to plaintext", change: edit.Change{Value: "old"},
		was: jira("\n " + jiraClass + "\n <password>" + ref + "</password>\n"),
		is:  jira("\n <password>old</password>\n")},
	{name: "back to plaintext, a comment beside the class", change: edit.Change{Value: "old"},
		was: jira("\n " + jiraClass + "<!-- a -->\n <password>" + ref + "</password>\n"),
		is:  jira("\n <!-- a -->\n <password>old</password>\n")},
	{name: "text around the elements has a meaning",
		was: jira("\n text <url/>\n <password>old</password>"),
		is:  jira("\n text <url/>\n " + jiraClass + "<password>" + ref + "</password>")},
	{name: "twice the same password", was: jira("<password>old</password><password>old</password>"),
		is: jira(jiraClass + "<password>" + ref + "</password><password>" + ref + "</password>")},
	{name: "ISO-8859-1", change: edit.Change{Value: "é€"},
		was: "<?xml version='1.0' encoding='ISO-8859-1'?><!-- \xe9 -->" +
			jira("<url>\xfc</url><password>\xe8\xe8</password>"),
		is: "<?xml version='1.0' encoding='ISO-8859-1'?><!-- \xe9 -->" +
			jira("<url>\xfc</url><password>\xe9&#8364;</password>")},
	{name: "windows-1252", change: edit.Change{Value: "é€ł"},
		was: "<?xml version='1.0' encoding='windows-1252'?>" +
			jira("<url>\x80</url>\r\n<password>\x80</password>"),
		is: "<?xml version='1.0' encoding='windows-1252'?>" +
			jira("<url>\x80</url>\r\n<password>\xe9\x80&#322;</password>")},
	{name: "US-ASCII", change: edit.Change{Value: "é"},
		was: "<?xml version='1.0' encoding='us-ascii'?>" + jira("<password>x</password>"),
		is:  "<?xml version='1.0' encoding='us-ascii'?>" + jira("<password>&#233;</password>")},
	{name: "UTF-8 with a mark", change: edit.Change{Value: "é😀"},
		was: "\ufeff" + jira("<url>ü</url><password>x</password>"),
		is:  "\ufeff" + jira("<url>ü</url><password>é😀</password>")},
	{name: "XML 1.1", change: edit.Change{Value: "\x01\u0085\u2028"},
		was: "<?xml version='1.1'?>\r\n" + jira("<url>&#1;\r</url>\r\n<password>x</password>"),
		is: "<?xml version='1.1'?>\r\n" +
			jira("<url>&#1;\r</url>\r\n<password>&#1;&#133;&#8232;</password>")},
	{name: "Confluence", was: hibernate("\n  " + wikiPassword + "old</property>\n"),
		is: hibernate("\n  " + wikiClass + "\n  " + wikiPassword + ref + "</property>\n")},
	{name: "Confluence, back", change: edit.Change{Value: "old"},
		was: hibernate("\n  " + wikiPassword + ref + "</property>\n  " + wikiClass + "\n"),
		is:  hibernate("\n  " + wikiPassword + "old</property>\n")},
}

func TestApplyXML(t *testing.T) {
	for _, r := range xmlRows {
		t.Run(r.name, func(t *testing.T) { r.run(t, "file.xml") })
		if strings.HasPrefix(r.was, "<?xml") || strings.HasPrefix(r.was, "\ufeff") {
			continue
		}
		for before, bigEndian := range map[string]bool{"": false,
			"<?xml version='1.0'?>\r\n<!--😀-->": true} {
			t.Run(r.name+" in UTF-16", func(t *testing.T) {
				r := r
				r.was, r.is = utf16Text(before+r.was, bigEndian), utf16Text(before+r.is, bigEndian)
				r.run(t, "file.xml")
			})
		}
	}
}

func (r row) run(t *testing.T, name string) {
	t.Helper()
	if r.change == (edit.Change{}) {
		r.change = toAWS
	}
	got, err := edit.Apply(name, []byte(r.was), r.change)
	require.NoError(t, err)
	require.Equal(t, r.is, string(got.Text))
	again, err := edit.Apply(name, got.Text, r.change)
	require.NoError(t, err)
	assert.Empty(t, again.Lines, "applying the change twice")
	assert.Equal(t, got.Text, again.Text)
}

// utf16Text encodes with a byte order mark.
func utf16Text(s string, bigEndian bool) string {
	var b []byte
	for _, u := range utf16.Encode([]rune("\ufeff" + s)) {
		if bigEndian {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return string(b)
}

const (
	anyClass = "encrypted-property.cipher.classname="
	oldClass = "jdbc.password.decrypter.classname="
)

var propertiesRows = []row{
	{name: "class before it", was: "# a\njdbc.password=old\nb=c\n",
		is: "# a\n" + anyClass + awsClass + "\njdbc.password={ENC}" + ref + "\nb=c\n"},
	{name: "CRLF", was: "a=b\r\njdbc.password=old\r\n",
		is: "a=b\r\n" + anyClass + awsClass + "\r\njdbc.password={ENC}" + ref + "\r\n"},
	{name: "the line end of its own line", was: "a=b\njdbc.password=old\r\nc=d\n",
		is: "a=b\n" + anyClass + awsClass + "\r\njdbc.password={ENC}" + ref + "\r\nc=d\n"},
	{name: "CR", was: "a=b\rjdbc.password=old",
		is: "a=b\r" + anyClass + awsClass + "\rjdbc.password={ENC}" + ref},
	{name: "no line end at all", was: "jdbc.password=old",
		is: anyClass + awsClass + "\njdbc.password={ENC}" + ref},
	{name: "blanks stay", was: " \tjdbc.password \t: \fold  \n",
		is: " \t" + anyClass + awsClass + "\n \tjdbc.password \t: \f{ENC}" + ref + "\n"},
	{name: "no separator", was: "jdbc.password\n",
		is: anyClass + awsClass + "\njdbc.password={ENC}" + ref + "\n"},
	{name: "a blank separates", was: "jdbc.password \n",
		is: anyClass + awsClass + "\njdbc.password {ENC}" + ref + "\n"},
	{name: "no value", was: "jdbc.password=\n",
		is: anyClass + awsClass + "\njdbc.password={ENC}" + ref + "\n"},
	{name: "a continued value", was: "jdbc.password=o\\\n  l\\\r\n\td\na=b",
		is: anyClass + awsClass + "\njdbc.password={ENC}" + ref + "\na=b"},
	{name: "a value on the next line", was: "jdbc.pass\\\n word = \\\n  old\n",
		is: anyClass + awsClass + "\njdbc.pass\\\n word = \\\n  {ENC}" + ref + "\n"},
	{name: "a line of just a backslash before it", was: "\\\n  jdbc.password=old\n",
		is: anyClass + awsClass + "\n\\\n  jdbc.password={ENC}" + ref + "\n"},
	{name: "a comment behind such a line", was: "\\\n#x\njdbc.password=old\n",
		is: "\\\n#x\n" + anyClass + awsClass + "\njdbc.password={ENC}" + ref + "\n"},
	{name: "a backslash at the end of the file", was: "jdbc.password=old\\",
		is: anyClass + awsClass + "\njdbc.password={ENC}" + ref},
	{name: "the last one counts", was: "jdbc.password=a\njdbc.password=b\n",
		is: "jdbc.password=a\n" + anyClass + awsClass + "\njdbc.password={ENC}" + ref + "\n"},
	{name: "the older key of the class goes",
		was: oldClass + "x.Y\njdbc.password=b\n" + oldClass + awsClass,
		is:  anyClass + awsClass + "\njdbc.password={ENC}" + ref + "\n"},
	{name: "the class is there", was: anyClass + awsClass + "\njdbc.password=b\n",
		is: anyClass + awsClass + "\njdbc.password={ENC}" + ref + "\n"},
	{name: "white space around the class", was: anyClass + awsClass + " \njdbc.password=b\n",
		is: anyClass + awsClass + "\njdbc.password={ENC}" + ref + "\n"},
	{name: "another class of which nothing else is read",
		was:    anyClass + awsClass + "\njdbc.password={ENC}" + ref,
		change: edit.Change{Value: vaultRef, Class: vaultClass},
		is:     anyClass + vaultClass + "\njdbc.password={ENC}" + vaultRef},
	{name: "other values of the same class", was: "a={ENC}" + ref + "\njdbc.password=x",
		is: "a={ENC}" + ref + "\n" + anyClass + awsClass + "\njdbc.password={ENC}" + ref},
	{name: "a backslash in the coordinates", was: "jdbc.password=x",
		change: edit.Change{Value: `{"region":"eu-west-1","secretId":"a\"é"}`, Class: awsClass},
		is: anyClass + awsClass + "\n" +
			`jdbc.password={ENC}{"region":"eu-west-1","secretId":"a\\"\u00e9"}`},
	{name: "another key", was: "x={ENC}" + ref + "\n" + oldClass + "a.B\njdbc.password=p\ny=1\n",
		change: edit.Change{Key: "y", Value: ref, Class: awsClass},
		is: "x={ENC}" + ref + "\n" + oldClass + "a.B\njdbc.password=p\n" + anyClass + awsClass +
			"\ny={ENC}" + ref + "\n"},
	{name: "back to plaintext", was: anyClass + awsClass + "\njdbc.password={ENC}" + ref + "\n",
		change: edit.Change{Value: `=a\b `}, is: "jdbc.password=\\=a\\\\b \n"},
	{name: "back to plaintext, the class at the end",
		was:    "jdbc.password={ENC}" + ref + "\n" + anyClass + awsClass,
		change: edit.Change{Value: "\t é😀\u0085\x01"},
		is:     "jdbc.password=\\t \\u00e9\\ud83d\\ude00\\u0085\\u0001\n"},
	{name: "back to plaintext while others need the class",
		was:    anyClass + awsClass + "\njdbc.password={ENC}" + ref + "\nx={ENC}" + ref,
		change: edit.Change{Value: "p"},
		is:     anyClass + awsClass + "\njdbc.password=p\nx={ENC}" + ref},
	{name: "back to plaintext with the older key", was: oldClass + awsClass + "\njdbc.password=" + ref,
		change: edit.Change{Value: "p"}, is: "jdbc.password=p"},
	{name: "ISO-8859-1", was: "a=\xe9\njdbc.password=\xe9x\nb=\xff", change: edit.Change{Value: "é"},
		is: "a=\xe9\njdbc.password=\\u00e9\nb=\xff"},
	{name: "UTF-8", was: "a=é\njdbc.password=éx\nb=ÿ", change: edit.Change{Value: "é"},
		is: "a=é\njdbc.password=\\u00e9\nb=ÿ"},
}

func TestApplyProperties(t *testing.T) {
	for _, r := range propertiesRows {
		t.Run(r.name, func(t *testing.T) { r.run(t, "bitbucket.properties") })
	}
}

func TestApplyAndRevert(t *testing.T) {
	for _, path := range []string{"jira/dbconfig.xml", "confluence/confluence.cfg.xml",
		"bitbucket/shared/bitbucket.properties", "bamboo/bamboo.cfg.xml", "crowd/shared/crowd.cfg.xml"} {
		text, err := os.ReadFile(filepath.Join("../../../testdata", filepath.FromSlash(path)))
		require.NoError(t, err)
		name := filepath.Base(path)
		if strings.Contains(path, "bitbucket") { // its other value keeps the class
			text = []byte(strings.Replace(string(text), "plugin.search.config.password={ENC}", "#", 1))
		}
		plain, err := edit.Apply(name, text, edit.Change{Value: " p<>&\\ "})
		require.NoError(t, err, path)
		assert.NotContains(t, string(plain.Text), "classname=", path)
		assert.NotContains(t, string(plain.Text), "Store", path)
		for _, c := range []edit.Change{toAWS, {Value: vaultRef, Class: vaultClass},
			{Value: "anything", Class: "com.example.Own"}} {
			there, err := edit.Apply(name, plain.Text, c)
			require.NoError(t, err, path)
			back, err := edit.Apply(name, there.Text, edit.Change{Value: " p<>&\\ "})
			require.NoError(t, err, path)
			assert.Equal(t, string(plain.Text), string(back.Text), path)
		}
	}
}

func TestResultLines(t *testing.T) {
	got, err := edit.Apply("bitbucket.properties",
		[]byte("jdbc.password=first\na=b\n"+oldClass+"x.Y\njdbc.password=last\n"), toAWS)
	require.NoError(t, err)
	assert.Equal(t, []int{1}, got.Shadowed)
	old, class, was, is := "x.Y", awsClass, "last", "{ENC}"+ref
	assert.Equal(t, []edit.Line{
		{Line: 3, Key: strings.TrimSuffix(oldClass, "="), Old: &old},
		{Line: 4, Key: strings.TrimSuffix(anyClass, "="), New: &class},
		{Line: 4, Key: "jdbc.password", Old: &was, New: &is},
	}, got.Lines)
}

func TestApplyRefuses(t *testing.T) {
	plain := jira("<password>canary-old</password>")
	for name, r := range map[string]struct {
		file, text string
		change     edit.Change
		kind       error
	}{
		"no password": {"dbconfig.xml", jira("<url/>"), toAWS, fault.NotFound},
		"two passwords": {"dbconfig.xml",
			jira("<password>canary</password><password>b</password>"), toAWS, fault.Syntax},
		"another key of an XML file": {"dbconfig.xml", jira("<url/><password/>"),
			edit.Change{Key: "jdbc-datasource/url", Value: ref, Class: awsClass}, fault.Unsupported},
		"no such key": {"bitbucket.properties", "jdbc.password=canary",
			edit.Change{Key: "canary", Value: ref, Class: awsClass}, fault.NotFound},
		"the class itself": {"bitbucket.properties",
			anyClass + "a.B\njdbc.password=canary",
			edit.Change{Key: strings.TrimSuffix(anyClass, "="), Value: ref, Class: awsClass},
			fault.Unsupported},
		"others of another store": {"bitbucket.properties",
			anyClass + awsClass + "\na={ENC}" + ref + "\njdbc.password=canary",
			edit.Change{Value: vaultRef, Class: vaultClass}, fault.Unsupported},
		"others that are none": {"bitbucket.properties",
			"a={ENC}canary\njdbc.password=canary", toAWS, fault.Unsupported},
		"others under a custom class": {"bitbucket.properties",
			anyClass + "a.B\na={ENC}" + ref + "\njdbc.password=canary",
			edit.Change{Value: "x", Class: "c.D"}, fault.Unsupported},
		"a control in XML 1.0": {"dbconfig.xml", plain, edit.Change{Value: "canary\x01"},
			fault.Unsupported},
		"not UTF-8 in XML": {"dbconfig.xml", plain, edit.Change{Value: "canary\xff"},
			fault.Unsupported},
		"not UTF-8 in properties": {"bitbucket.properties", "jdbc.password=canary",
			edit.Change{Value: "canary\xff"}, fault.Unsupported},
		"empty plaintext": {"dbconfig.xml", plain, edit.Change{}, fault.Unsupported},
		"plaintext that is a reference": {"dbconfig.xml", plain, edit.Change{Value: ref},
			fault.Unsupported},
		"plaintext with a prefix": {"bitbucket.properties", "jdbc.password=canary",
			edit.Change{Value: "{ENC}canary"}, fault.Unsupported},
		"plaintext with a misspelled prefix": {"bitbucket.properties", "jdbc.password=canary",
			edit.Change{Value: " {enc}canary"}, fault.Unsupported},
		"plaintext that is the placeholder": {"dbconfig.xml", plain, edit.Change{Value: "{ATL_SECURED}"},
			fault.Unsupported},
		"a prefix declared on the element": {"dbconfig.xml",
			jira("<p:password xmlns:p='canary'>canary</p:password>"), toAWS, fault.Unsupported},
		"a data source in the server": {"confluence.cfg.xml",
			hibernate(`<property name="hibernate.connection.datasource">canary</property>` + wikiPassword +
				"x</property>"), toAWS, fault.Unsupported},
		"a file with a mistake": {"dbconfig.xml", "<canary", toAWS, fault.Syntax},
		"a file with a mistake, properties": {"bitbucket.properties", `canary=\u00`, toAWS,
			fault.Syntax},
		"class without a password": {"dbconfig.xml", jira(jiraClass), toAWS, fault.Syntax},
		"nothing of a product's":   {"dbconfig.xml", "<canary/>", toAWS, fault.Unsupported},
		"a class that XML cannot have": {"dbconfig.xml", plain,
			edit.Change{Value: ref, Class: "\x02"}, fault.Unsupported},
		"a class with white space around it": {"dbconfig.xml", plain,
			edit.Change{Value: ref, Class: " a.B"}, fault.Unsupported},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := edit.Apply(r.file, []byte(r.text), r.change)
			require.ErrorIs(t, err, r.kind)
			assert.Nil(t, got)
			assert.NotContains(t, fmt.Sprintf("%v %+v", err, err), "canary")
		})
	}
}
