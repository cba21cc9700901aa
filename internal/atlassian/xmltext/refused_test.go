package xmltext

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/test/vectors"
)

// TestParseRefuses checks each rule with documents that Xerces rejects.
// Those of XML 1.1 it may accept and read differently from XML 1.0.
func TestParseRefuses(t *testing.T) {
	for _, group := range []struct {
		rule string
		docs []string
	}{
		{"a document has one root and nothing else", []string{
			"", " \n", "<!-- -->", "<?p?>", "<!DOCTYPE a>", "x<a/>", "<a/>x", "<a/><b/>", "<a/>&#32;",
			"<a/><![CDATA[]]>",
			"<![CDATA[]]><a/>", "<a/>\ufeff", "&lt;<a/>", "</a>",
		}},
		{"the declaration", []string{
			"\n<?xml version='1.0'?><a/>", "<!----><?xml version='1.0'?><a/>",
			"<a><?xml version='1.0'?></a>", "<?xml?><a/>",
			"<?XML version='1.0'?><a/>", "<?xml version='1.0'><a/>", "<?xml version=1.0?><a/>",
			"<?xml version='1.0\"?><a/>",
			"<?xml encoding='UTF-8'?><a/>", "<?xml version='1.0' standalone='yes' encoding='UTF-8'?><a/>",
			"<?xml version='1.0'encoding='UTF-8'?><a/>", "<?xml version='1.0' encoding=''?><a/>",
			"<?xml version='1.0' encoding=' UTF-8'?><a/>", "<?xml version='1.0' standalone='YES'?><a/>",
			"<?xml version='1.0' x='y'?><a/>", "<?xml version='1.0' ? ><a/>", "<?xml ",
			"<?xml version='1.0'\u0085?><a/>",
		}},
		{"tags", []string{
			"<", "<a", "<a>", "<a/", "<a/ >", "< a/>", "<a></b>", "<a></ab>", "<ab></a>", "<a></A>",
			"<a></a b>", "<a></ a>", "<a></a",
			"<a><b></a></b>", "<a><</a>", "<1/>",
		}},
		{"attributes", []string{
			"<a b/>", "<a b=/>", "<a b=1/>", "<a b='1\"/>", "<a b='1'c='2'/>", "<a b='<'/>", "<a b='&'/>",
			"<a 'b'/>", "<a b='1' b='2'/>",
			"<a b='' c='' d='' e='' f='' g='' h='' i='' j='' k='' j=''/>",
		}},
		{"references", []string{
			"<a>a&b</a>", "<a>& </a>", "<a>&;</a>", "<a>&amp</a>", "<a>&amp ;</a>", "<a>&nbsp;</a>",
			"<a>&AMP;</a>", "<a>&#;</a>",
			"<a>&#x;</a>", "<a>&#X41;</a>", "<a>&#-65;</a>", "<a>&#xg;</a>", "<a>&#6a;</a>", "<a>&#65</a>",
			"<a>&#0;</a>", "<a>&#1;</a>",
			"<a>&#xD800;</a>", "<a>&#xD83D;&#xDE00;</a>", "<a>&#xFFFE;</a>", "<a>&#x110000;</a>",
			"<a>&#99999999999999999999;</a>", "<a>&#x100000041;</a>",
			"<?xml version='1.1'?><a>&#0;</a>", "<a>&#65",
		}},
		{"characters", []string{
			"<a>\x00</a>", "<a>\x01</a>", "<a b='\x1f'/>", "<a><!--\x02--></a>", "<a><?p \x03?></a>",
			"<a>\ufffe</a>", "<a/>\x00",
			"<?xml version='1.1'?><a>\x01</a>", "<?xml version='1.1'?><a>\u007f</a>",
			"<?xml version='1.1'?><a>\u0080</a>",
			"<?xml version='1.1'?><a>\u0085</a>", "<?xml version='1.1'?><a>\u2028</a>",
		}},
		{"]]>, comments, CDATA and instructions", []string{
			"<a>]]></a>", "<a>]]]></a>", "<a><!-- -- --></a>", "<a><!-- ---></a>", "<a><!-- </a>",
			"<a><! -- --></a>",
			"<a><![CDATA[x]]</a>", "<?xml version='1.1'?><a><![CDATA[x]]]></a>",
			"<?xml version='1.1'?><a><![CDATA[x]]]]></a>", "<a><![cdata[x]]></a>", "<a><!x></a>",
			"<a><? p?></a>", "<a><?p!?></a>", "<a><?p??></a>", "<a><?p </a>",
			"<a><?p",
		}},
		{"namespaces", []string{
			"<p:a/>", "<a p:b=''/>", "<a xmlns:p='u'/><p:b/>", "<a><b xmlns:p='u'/><p:c/></a>",
			"<a><b xmlns:p='u'></b><p:c/></a>",
			"<a:b:c xmlns:a='u'/>", "<a:/>", "<a:1 xmlns:a='u'/>", "<p:a xmlns:p='u' xmlns:q='u'></q:a>",
			"<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>", "<a xmlns:p='u' xmlns:p='u'/>",
			"<a xmlns='u' xmlns='u'/>",
			"<a xmlns:p=''/>", "<?xml version='1.1'?><a xmlns:p='u'><b xmlns:p=''/></a>", "<a xmlns:='u'/>",
			"<xmlns:a/>",
			"<a xmlns:xmlns='u'/>", "<a xmlns:xml='u'/>", "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
			"<a xmlns:p='http://www.w3.org/2000/xmlns/'/>",
			"<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
			"<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>",
		}},
		{"DOCTYPE", []string{
			"<!DOCTYPE><a/>", "<!DOCTYPE 1><a/>", "<!DOCTYPE a x><a/>", "<!DOCTYPEa><a/>",
			"<!DOCTYPE a><!DOCTYPE a><a/>",
			"<a/><!DOCTYPE a>", "<a><!DOCTYPE a></a>", "<!doctype a><a/>", "<!DOCTYPE a",
			"<!DOCTYPE a><a>&b;</a>",
		}},
	} {
		t.Run(group.rule, func(t *testing.T) {
			for _, doc := range group.docs {
				root, err := Parse([]byte(doc))
				require.ErrorIs(t, err, fault.Syntax, doc)
				require.Nil(t, root, doc)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	for _, doc := range []string{
		"<!DOCTYPE a><a/>", "<!DOCTYPE b\n><a/>", "<!-- --><!DOCTYPE a:b><?p?><a/>",
		"<a/><?p x?><!-- -->\n", "<a\n></a\t>",
		"<a><?xml-stylesheet?><?xmlx?><?p:q x?y??></a>", "<?xmlé?><a/>", "<a><!----><!---> --></a>",
		"<xmlns/>", "<xml:a xml:b=''/>",
		"<a xmlns='' xmlns:xml='http://www.w3.org/XML/1998/namespace'/>", "<a xmlns:p='u' p:b='' b=''/>",
		"<a xmlns='u' xmlns:p='u' p:b='' b=''/>", "<a p:b='' xmlns:p='u'/>", "<p:a xmlns:p='u'></p:a>",
		"<a xmlns:p='u'><b xmlns:q='u'/><c xmlns:q='v' p:x='' q:x=''/></a>",
		"<?xml version='1.1'?><a xmlns:p='u'><p:c/></a>",
	} {
		_, err := Parse([]byte(doc))
		require.NoError(t, err, doc)
	}
}

func TestDoctypeIsRefused(t *testing.T) {
	for doc, why := range map[string]string{
		"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>":                        "a DOCTYPE with an internal subset is refused",
		"<!DOCTYPE a[]><a/>":                                              "a DOCTYPE with an internal subset is refused",
		"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>":                    "a DOCTYPE with an external identifier is refused",
		"<!DOCTYPE a PUBLIC '-//X' 'http://192.0.2.1/x.dtd'><a/>":         "a DOCTYPE with an external identifier is refused",
		"<!DOCTYPE a [<!ENTITY % x SYSTEM 'file:///etc/passwd'>%x;]><a/>": "a DOCTYPE with an internal subset is refused",
	} {
		root, err := Parse([]byte("<?xml version='1.0'?>\n" + doc))
		require.ErrorIs(t, err, fault.Unsupported, doc)
		require.ErrorContains(t, err, "line 2: "+why)
		require.Nil(t, root)
	}
	_, err := Parse([]byte("<?xml version='1.2'?><a/>"))
	require.ErrorIs(t, err, fault.Unsupported)
	require.ErrorContains(t, err, `the products write version="1.0"`)
}

func TestErrorsNameLine(t *testing.T) {
	for doc, want := range map[string]string{
		"<a>\n<b>\r\n&c</b></a>":                           "line 3: a bare &; write &amp;",
		"<?xml version='1.0'\n?>\r<a>\n\xe4</a>":           "line 4: a byte that is not valid",
		"<a>\n\r\n\r\x01</a>":                              "line 4: a character that this version of XML does not allow",
		"<?xml version='1.1'?>\n<a>\n\u007f</a>":           "line 3: a character that this version of XML does not allow",
		"<a>\n<b>\n</a>":                                   "line 3: the end tag does not match the start tag of line 2",
		"<a>\n<b>\n\n":                                     "line 4: the file ends inside the element of line 2",
		"<a>\n<!-- \n\n</a>":                               "line 2: unterminated comment",
		"<a>\n<![CDATA[ \n\n</a>":                          "line 2: unterminated CDATA section",
		"<a\n b='1'\n b='2'/>":                             "line 3: an attribute appears twice",
		"<a\n\n b='1\n2\n/>":                               "line 3: unterminated attribute value",
		"<a>\n</a>\n<b/>":                                  "line 3: only comments are allowed after the root element",
		"<?xml version='1.0'\n\n encoding='x-foo'\n?><a/>": "line 4: encoding \"x-foo\"",
		"\xff\xfe<\x00a\x00>\x00\n\x00\x00\xd8":            "line 2: bytes that are not UTF-16",
	} {
		_, err := Parse([]byte(doc))
		require.ErrorContains(t, err, want, doc)
	}
}

// Any part of a document may be a password.
func TestErrorsDoNotQuoteTheDocument(t *testing.T) {
	const secret = "hunter2"
	for _, value := range []string{
		"&hunter2", "&hunter2;", "<hunter2", "<hunter2>", "</hunter2>", "<hunter2:x>", "<a hunter2:x=''>",
		"<a hunter2='1' hunter2='2'>",
		"<a hunter2=1>", "<a b=hunter2>", "<a b='<hunter2'>", "hunter2]]>", "<!hunter2>",
		"<!-- hunter2 -- -->", "<?hunter2", "&#hunter2;",
		"&#x1;hunter2", "hunter2\xff", "hunter2\x01", "<a xmlns:hunter2=''>", "<a xmlns:xml='hunter2'>",
	} {
		doc := "<password>" + value + "</password>"
		_, err := Parse([]byte(doc))
		require.Error(t, err, doc)
		require.NotContains(t, err.Error(), secret, doc)
	}
	for _, doc := range []string{
		"<?xml version='hunter2'?><a/>", "<?xml version='1.0' standalone='hunter2'?><a/>",
		"<!DOCTYPE hunter2 hunter2><a/>",
		"<!DOCTYPE a SYSTEM 'hunter2'><a/>", "hunter2", "<a/>hunter2",
		"<?xml version='1.0' encoding='hunter2 '?><a/>",
	} {
		_, err := Parse([]byte(doc))
		require.Error(t, err, doc)
		require.NotContains(t, err.Error(), secret, doc)
	}
}

func TestDepthIsBounded(t *testing.T) {
	nest := func(n int) []byte { return []byte(strings.Repeat("<a>", n) + strings.Repeat("</a>", n)) }
	_, err := Parse(nest(maxDepth))
	require.NoError(t, err)
	_, err = Parse(nest(maxDepth + 1))
	require.ErrorIs(t, err, fault.Syntax)
	require.ErrorContains(t, err, "elements are nested more than 1000 deep")
	_, err = Parse([]byte(strings.Repeat("<a>", 4<<20/3)))
	require.Error(t, err)
}

// With quadratic time each of these documents would take hours.
func TestLargeDocuments(t *testing.T) {
	size := 4 << 20
	if testing.Short() {
		size = 1 << 18
	}
	fill := func(unit string) string { return strings.Repeat(unit, size/len(unit)) }
	many := func(format string, n int) string {
		var b bytes.Buffer
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	parse := func(doc string) *Element {
		root, err := Parse([]byte(doc))
		require.NoError(t, err)
		return root
	}
	require.Len(t, parse("<a>"+fill("&amp;")+"</a>").Text, size/5)
	require.Len(t, parse("<a b='" + fill("&#10;") + "'/>").Attrs[0].Value, size/5)
	require.Len(t, parse("<a b='" + fill("\n") + "'/>").Attrs[0].Value, size)
	require.Len(t, parse("<a>"+fill("\r")+"</a>").Text, size)
	require.Len(t, parse("<a>"+fill("]] ")+"</a>").Text, size/3*3)
	require.Len(t, parse("<a>"+fill("x<b/>\n")+"</a>").Text, size/6*2)
	require.Empty(t, parse("<a>"+fill("<!--->-->")+fill("<?p?>")+"</a>").Text)
	require.Equal(t, "A", parse("<a>&#"+fill("0")+"65;</a>").Text)
	require.Len(t, parse("<a "+many("b%d='' ", size/12)+"/>").Attrs, size/12)
	require.Len(t, parse("<a>"+fill("<b xmlns:p='u'><p:c p:x=''/></b>")+"</a>").Children, size/32)
	declared := parse("<a " + many("xmlns:p%d='u' ", size/40) + ">" +
		many("<p%d:b/>", size/40) + "</a>")
	require.Len(t, declared.Children, size/40)
	for _, bad := range []string{"<a>" + fill("\n") + "&", "<a>" + fill("&"), "<" + fill("a:"),
		fill("<!--"), fill("<a"), "<a b='" + fill("&")} {
		_, err := Parse([]byte(bad))
		require.Error(t, err)
	}
}

func BenchmarkParse(b *testing.B) {
	for _, v := range vectors.LoadXML(b) {
		if v.Name != "dbconfig cdata" {
			continue
		}
		for b.Loop() {
			if _, err := Parse(v.Input); err != nil {
				b.Fatal(err)
			}
		}
	}
}
