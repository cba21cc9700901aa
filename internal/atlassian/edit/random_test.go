package edit_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/charmap"

	"github.com/seed74218947/secretref/internal/atlassian/edit"
)

// TestApplyRandomFiles changes valid files with every kind of content, and reverts
// the changes. Unlike in FuzzApply, none may be refused.
func TestApplyRandomFiles(t *testing.T) {
	rounds := 1500
	if testing.Short() {
		rounds = 50
	}
	for seed := range uint64(rounds) {
		g := generator{rand.New(rand.NewPCG(seed, 1)), ""}
		name, text := g.file()
		password := g.password()
		apply := func(text []byte, c edit.Change) []byte {
			got, err := edit.Apply(name, text, c)
			require.NoError(t, err, "seed %d: %s\n%q", seed, name, text)
			requireChanged(t, name, text, got.Text, c)
			return got.Text
		}
		plain := edit.Change{Value: password}
		plaintext := apply(text, plain)
		aws := apply(plaintext, toAWS)
		vault := apply(aws, edit.Change{Value: vaultRef, Class: vaultClass})
		require.Equal(t, string(plaintext), string(apply(aws, plain)), "seed %d", seed)
		require.Equal(t, string(plaintext), string(apply(vault, plain)), "seed %d", seed)
		require.Equal(t, string(aws), string(apply(vault, toAWS)), "seed %d", seed)
		require.Equal(t, string(apply(text, toAWS)), string(apply(apply(text, toAWS), toAWS)),
			"seed %d", seed)
	}
}

// generator generates files.
type generator struct {
	*rand.Rand
	eol string
}

func (g *generator) file() (name string, text []byte) {
	g.eol = g.one("\n", "\r\n", "\r")
	if g.IntN(3) == 0 {
		return "bitbucket.properties", g.properties()
	}
	return g.xml()
}

func (g *generator) one(texts ...string) string { return texts[g.IntN(len(texts))] }

// repeat joins up to limit results of make.
func (g *generator) repeat(limit int, make func() string) string {
	var b strings.Builder
	for range g.IntN(limit + 1) {
		b.WriteString(make())
	}
	return b.String()
}

func (g *generator) password() string {
	password := g.repeat(12, func() string {
		return g.one("a", "B", "7", " ", "\t", "\\", "\"", "'", "<", ">", "&", "]]>", "=", ":", "#", "!",
			"é", "ß", "€", "\u00a0", "😀", "\n", "\r", "{", "}", "$", "%")
	})
	return "p" + password + g.one("", " ", "\\", "z")
}

func (g *generator) xml() (name string, text []byte) {
	nl := func() string { return g.one(g.eol, g.eol+"  ", g.eol+"\t", g.eol+g.eol+" ", " ", "") }
	junk := func() string { return nl() + g.one("<!-- <a> & -->", "<?pi <x> ?>", "<!--é-->", "") }
	piece := func() string {
		return g.one("a", "x y", "&amp;", "&#233;", "&#x41;", "<![CDATA[<&]]>", "<![CDATA[]]>", "é",
			g.eol, "]]", "<!-- in -->", "<?in?>")
	}
	value := func() string { return g.repeat(4, piece) }
	attr := func() string { return g.one("", " ", ` x="1>2"`, " y='&lt;'", g.eol+"z='1'") }
	prefix, declare := "", ""
	if g.IntN(4) == 0 {
		prefix, declare = "n:", " xmlns:n='urn:n'"
	} else if g.IntN(4) == 0 {
		declare = " xmlns='urn:d'"
	}
	element := func(tag, attrs, body string) string {
		if body == "" && g.IntN(2) == 0 {
			return "<" + prefix + tag + attrs + attr() + "/>"
		}
		return "<" + prefix + tag + attrs + attr() + ">" + body + "</" + prefix + tag +
			g.one("", " ", g.eol) + ">"
	}
	var parts []string
	other := func(i int) string { return element(fmt.Sprintf("other%d", i), "", value()) }
	password := func() string { return element("password", "", value()) }
	class := func(name string) string {
		return element("atlassian-password-cipher-provider", "", g.one("", " ")+name+g.one("", g.eol))
	}
	name = "dbconfig.xml"
	if g.IntN(2) == 0 {
		name = "confluence.cfg.xml"
		property := func(key, body string) string {
			return element("property",
				g.one(" ", " a='b' ", g.eol)+"name="+g.one("'"+key+"'", `"`+key+`"`), body)
		}
		other = func(i int) string { return property(fmt.Sprintf("other.%d", i), value()) }
		password = func() string { return property("hibernate.connection.password", value()) }
		class = func(name string) string { return property("jdbc.password.decrypter.classname", name) }
	}
	for i := range g.IntN(5) {
		parts = append(parts, other(i))
	}
	parts = append(parts, password())
	if g.IntN(3) > 0 {
		parts = append(parts, class(g.one(awsClass, vaultClass, "com.example.Own")))
	}
	g.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	var body strings.Builder
	for _, p := range parts {
		body.WriteString(junk() + p)
	}
	inner := body.String() + junk()
	if name == "dbconfig.xml" {
		inner = nl() + "<" + prefix + "jdbc-datasource>" + inner + "</" + prefix +
			"jdbc-datasource>" + junk()
		inner = "<" + prefix + "jira-database-config" + declare + ">" + inner + "</" + prefix +
			"jira-database-config>"
	} else {
		inner = nl() + "<" + prefix + "properties>" + inner + "</" + prefix + "properties>" + junk()
		inner = "<" + prefix + "confluence-configuration" + declare + ">" + inner + "</" + prefix +
			"confluence-configuration>"
	}
	return name, g.encode(inner + g.one("", g.eol, g.eol+"<!-- end -->"))
}

// encode encodes a document in one of the encodings, with a declaration.
func (g *generator) encode(doc string) []byte {
	declared := func(encoding string) string {
		return "<?xml version='" + g.one("1.0", "1.0", "1.1") + "'" + encoding + "?>" + g.eol + doc
	}
	switch g.IntN(7) {
	case 0:
		return []byte(doc)
	case 1:
		return []byte("\ufeff" + declared(" encoding='UTF-8'"))
	case 2:
		return []byte(utf16Text(declared(" encoding='UTF-16'"), false))
	case 3:
		return []byte(utf16Text(declared(g.one("", " encoding='UTF-16BE'")), true))
	case 4:
		text, _ := charmap.ISO8859_1.NewEncoder().String(declared(" encoding='ISO-8859-1'"))
		return []byte(text)
	case 5:
		text, _ := charmap.Windows1252.NewEncoder().String(declared(" encoding='windows-1252'"))
		return []byte(text)
	}
	return []byte(strings.ReplaceAll(declared(" encoding='us-ascii'"), "é", "e"))
}

func (g *generator) properties() []byte {
	letter := g.one("é", "\xe9")
	gap := func() string { return g.one("", "", " ", "\t", "\f ") }
	more := func() string { return "\\" + g.eol + gap() }
	filler := func() string {
		return g.one("", g.eol, "# "+letter+" a=b \\"+g.eol, gap()+"!x"+g.eol, gap()+g.eol,
			"\\"+g.eol+g.eol)
	}
	value := func() string {
		return g.repeat(4,
			func() string {
				return g.one("a", " ", "=", `\u00e9`, `\\`, `\q`, `\t`, letter, more(),
					"#", "{")
			})
	}
	pair := func(key, value string) string {
		if g.IntN(5) == 0 {
			key = key[:3] + more() + key[3:]
		}
		return gap() + key + gap() + g.one("=", ":", " ") + gap() + value + g.eol
	}
	var lines []string
	for i := range g.IntN(5) {
		lines = append(lines, pair(fmt.Sprintf("other.%d", i), value()))
	}
	for range 1 + g.IntN(2)*g.IntN(2) {
		lines = append(lines, pair("jdbc.password", value()))
	}
	if g.IntN(2) == 0 {
		lines = append(lines,
			pair("encrypted-property.cipher.classname", g.one(awsClass, vaultClass, "com.example.Own")))
	}
	if g.IntN(4) == 0 {
		lines = append(lines,
			pair("jdbc.password.decrypter.classname", g.one(awsClass, "com.example.Own")))
	}
	g.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(filler() + l)
	}
	text := b.String()
	if g.IntN(3) == 0 {
		text = strings.TrimSuffix(text, g.eol)
	}
	return []byte(text)
}
