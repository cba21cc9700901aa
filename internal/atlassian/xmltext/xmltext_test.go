package xmltext

import (
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/test/vectors"
)

func TestParseAgreesWithDom4j(t *testing.T) {
	for _, v := range vectors.LoadXML(t) {
		t.Run(v.Name, func(t *testing.T) {
			root, err := Parse(v.Input)
			if v.GetText != nil && v.DOMNoDoctype == nil &&
				strings.Contains(v.DOMNoDoctypeError, "DOCTYPE") {
				// dom4j reads the subset; Parse refuses it.
				require.ErrorIs(t, err, fault.Unsupported)
				require.ErrorContains(t, err, "a DOCTYPE with an internal subset is refused")
				return
			}
			if v.GetText == nil {
				require.Error(t, err)
				require.Nil(t, root)
				return
			}
			require.NoError(t, err)
			require.Equal(t, *v.GetText, list(v.Kind, root))
		})
	}
}

// list returns the database passwords of a document in the form of the vectors.
func list(kind string, e *Element) []string {
	found := []string{}
	var walk func(parent, e *Element)
	walk = func(parent, e *Element) {
		switch {
		case kind == "dbconfig" && e.Name == "password" && parent.Name == "jdbc-datasource":
			found = append(found, parent.Name+"/"+e.Text)
		case kind == "confluence" && e.Name == "property":
			for _, a := range e.Attrs {
				if a.Name == "name" && strings.TrimSpace(a.Value) == "hibernate.connection.password" {
					found = append(found, a.Value+"="+e.Text)
				}
			}
		}
		for _, child := range e.Children {
			walk(e, child)
		}
	}
	walk(&Element{}, e)
	return found
}

func TestParseTree(t *testing.T) {
	root, err := Parse([]byte(`<?xml version="1.0"?>
<!-- c --><!DOCTYPE a>
<a xmlns="d" xmlns:p="u"
   p:x = "1" x='2'>one<p:b/>two<b
>&lt;<c/></b ><![CDATA[<three>]]><?pi?></a>
<!-- end -->`))
	require.NoError(t, err)
	require.Equal(t, &Element{
		Name:  "a",
		Attrs: []Attr{{"x", "1"}, {"x", "2"}},
		Text:  "onetwo<three>",
		Line:  3,
		Children: []*Element{
			{Name: "b", Line: 4},
			{Name: "b", Line: 4, Text: "<", Children: []*Element{{Name: "c", Line: 5}}},
		},
	}, root)
}

func TestText(t *testing.T) {
	const xml11 = `<?xml version="1.1"?>`
	tests := []struct{ name, in, want string }{
		{"white space stays", "<a> \t\n </a>", " \t\n "},
		{"line ends become line feeds", "<a>1\r\n2\r3\n4\r\r\n5</a>", "1\n2\n3\n4\n\n5"},
		{"escaped line ends stay", "<a>&#13;&#10;</a>", "\r\n"},
		{"line ends of XML 1.1 are text in 1.0", "<a>1\u00852\u2028</a>", "1\u00852\u2028"},
		{"the predefined entities", "<a>&lt;&gt;&amp;&quot;&apos;</a>", `<>&"'`},
		{"an entity is not decoded twice", "<a>&amp;lt;</a>", "&lt;"},
		{"character references", "<a>&#65;&#x42;&#x1f600;&#00000000000000000067;</a>", "AB😀C"},
		{"controls that XML 1.0 allows", "<a>\u007f&#x80;&#9;</a>", "\u007f\u0080\t"},
		{"controls that XML 1.1 allows", xml11 + "<a>&#1;&#x1f;&#x7f;&#x85;</a>", "\x01\x1f\x7f\u0085"},
		{"non-characters of other planes", "<a>&#x1FFFE;&#x10FFFF;</a>", "\U0001FFFE\U0010FFFF"},
		{"CDATA next to text", "<a>1<![CDATA[&lt;]]]]><![CDATA[>]]>2</a>", "1&lt;]]>2"},
		{"brackets at the end of CDATA", "<a><![CDATA[1]]]>2<![CDATA[3]]]]></a>", "1]23]]"},
		{"]] alone", "<a>]] ></a>", "]] >"},
		{"]]> in pieces", "<a>]]&gt;]]<!-- -->></a>", "]]>]]>"},
		{"comments and instructions are skipped", "<a>1<!-- > - --><?p x?y?>2</a>", "12"},
		{"text of children is left out", "<a>1<b>2</b>3</a>", "13"},
		{"a byte order mark within text", "<a>\ufeff</a>", "\ufeff"},
		{"a placeholder is text", "<a>${confluenceHome}</a>", "${confluenceHome}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root, err := Parse([]byte(tt.in))
			require.NoError(t, err)
			require.Equal(t, tt.want, root.Text)
		})
	}
}

func TestAttributeValues(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"line ends and tabs become spaces", "<a b='1\t2\n3\r\n4\r5'/>", "1 2 3 4 5"},
		{"white space from references stays", "<a b='&#9;&#10;&#13;'/>", "\t\n\r"},
		{"references in XML 1.1", "<?xml version='1.1'?><a b='&#x85;&#1;'/>", "\u0085\x01"},
		{"spaces stay", "<a b='  1  '/>", "  1  "},
		{"the other quote", `<a b='"'/>`, `"`},
		{"]]> and >", "<a b=']]>'/>", "]]>"},
		{"entities", "<a b='&lt;&#60;&quot;'/>", `<<"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root, err := Parse([]byte(tt.in))
			require.NoError(t, err)
			require.Equal(t, []Attr{{"b", tt.want}}, root.Attrs)
		})
	}
}

func TestEncodings(t *testing.T) {
	decl := func(encoding string) string { return `<?xml version="1.0" encoding="` + encoding + `"?>` }
	le := func(s string) string {
		var b []byte
		for _, u := range utf16.Encode([]rune(s)) {
			b = append(b, byte(u), byte(u>>8))
		}
		return string(b)
	}
	be := func(s string) string {
		var b []byte
		for _, u := range utf16.Encode([]rune(s)) {
			b = append(b, byte(u>>8), byte(u))
		}
		return string(b)
	}
	tests := []struct{ name, in, want string }{
		{"UTF-8 without a declaration", "<a>ä€😀</a>", "ä€😀"},
		{"UTF-8 with a mark", "\ufeff<a>ä</a>", "ä"},
		{"any letter case", decl("uTf-8") + "<a>ä</a>", "ä"},
		{"UTF8", decl("UTF8") + "<a>ä</a>", "ä"},
		{"ISO-8859-1", decl("ISO-8859-1") + "<a>\xe4\x80\xff</a>", "ä\u0080ÿ"},
		{"ISO-8859-1 under another name", decl("ISO8859_1") + "<a>\xe4</a>", "ä"},
		{"the declaration overrides the UTF-8 mark", "\ufeff" + decl("latin1") + "<a>\xe4</a>", "ä"},
		{"windows-1252", decl("Cp1252") + "<a>\x80\x93\xe4\x9f</a>", "€“äŸ"},
		{"US-ASCII", decl("ascii") + "<a>a\x7f</a>", "a\x7f"},
		{"UTF-16, marked little", "\xff\xfe" + le(decl("UTF-16")+"<a>ä😀</a>"), "ä😀"},
		{"UTF-16, marked big", "\xfe\xff" + be(decl("UTF-16")+"<a>ä😀</a>"), "ä😀"},
		{"UTF-16, only marked", "\xff\xfe" + le("<a>ä</a>"), "ä"},
		{"UTF-16, only declared", le(decl("UTF-16") + "<a>ä</a>"), "ä"},
		{"UTF-16LE", le(decl("UTF-16LE") + "<a>ä</a>"), "ä"},
		{"UTF-16BE", be(decl("utf-16be") + "<a>ä</a>"), "ä"},
		{"UTF-16 to be guessed", be(`<?xml version="1.0"?><a>ä</a>`), "ä"},
		{"UTF-16 keeps a second mark in text", "\xff\xfe" + le("<a>\ufeff</a>"), "\ufeff"},
		{"single quotes and white space",
			"<?xml\tversion = '1.0'\r\n\tencoding = 'l1'\n standalone = 'no' ?><a>\xe4</a>", "ä"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root, err := Parse([]byte(tt.in))
			require.NoError(t, err)
			require.Equal(t, tt.want, root.Text)
		})
	}

	refused := []struct {
		name, in string
		kind     error
	}{
		{"unknown", decl("x-foo") + "<a/>", fault.Unsupported},
		{"supported by Java only", decl("EUC-JP") + "<a/>", fault.Unsupported},
		{"not a name", decl("8859_1") + "<a/>", fault.Syntax},
		{"ISO-8859-1 bytes in UTF-8", "<a>\xe4</a>", fault.Syntax},
		{"overlong UTF-8", "<a>\xc0\xaf</a>", fault.Syntax},
		{"surrogates in UTF-8", "<a>\xed\xa0\xbd\xed\xb8\x80</a>", fault.Syntax},
		{"a bad byte after the root", "<a/>\xc3", fault.Syntax},
		{"beyond US-ASCII", decl("US-ASCII") + "<a>\xe4</a>", fault.Syntax},
		{"half a UTF-16 unit", "\xff\xfe" + le("<a/>") + "\n", fault.Syntax},
		{"a lone surrogate", "\xff\xfe" + le("<a>") + "\x00\xd8" + le("</a>"), fault.Syntax},
		{"half a surrogate pair at the end", "\xff\xfe" + le("<a/>") + "\x3d\xd8", fault.Syntax},
		{"UTF-16 without mark and declaration", le("<a/>"), fault.Syntax},
		{"UTF-16 declared, UTF-8 found", decl("UTF-16") + "<a/>", fault.Syntax},
		{"UTF-8 declared, UTF-16 found", "\xff\xfe" + le(decl("UTF-8")+"<a/>"), fault.Syntax},
		{"the other byte order", "\xff\xfe" + le(decl("UTF-16BE")+"<a/>"), fault.Syntax},
		{"two marks", "\ufeff\ufeff<a/>", fault.Syntax},
	}
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.in))
			require.ErrorIs(t, err, tt.kind)
			require.ErrorContains(t, err, "line 1: ")
		})
	}
	for _, undefined := range []string{"\x81", "\x8d", "\x8f", "\x90", "\x9d"} {
		_, err := Parse([]byte(decl("windows-1252") + "<a>" + undefined + "</a>"))
		require.ErrorIs(t, err, fault.Syntax)
	}
	_, err := Parse([]byte(decl("x-foo") + "<a/>"))
	require.ErrorContains(t, err, `"x-foo"`)
}

func TestNameCharacters(t *testing.T) {
	tests := []struct {
		name string
		want bool
	}{
		{"a-b.c_d1", true}, {"été", true}, {"中", true}, {"a·", true}, {"aͅ", true},
		{"1", false}, {"-a", false}, {"·", false}, {"a×", false}, {"a←", false},
		{"Ⅰ", false},  // a letter only since the fifth edition
		{"ⰰ", false},  // added after Unicode 2.0
		{"a😀", false}, // beyond the basic plane
		{"a\U000F0000", false},
	}
	for _, tt := range tests {
		for _, declaration := range []string{"", `<?xml version="1.1"?>`} {
			_, err := Parse([]byte(declaration + "<" + tt.name + "/>"))
			require.Equal(t, tt.want, err == nil, "%s%s: %v", declaration, tt.name, err)
		}
	}
}
