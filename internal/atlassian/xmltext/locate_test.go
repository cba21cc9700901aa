package xmltext

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/test/vectors"
)

// pieces cuts a document at the positions of its first element "p".
func pieces(t *testing.T, b string) (whole, start, content, end string, text []string) {
	t.Helper()
	d, err := Locate([]byte(b))
	require.NoError(t, err)
	p := d.Place(d.Root.Children[0])
	assert.Equal(t, "p", p.Tag)
	for _, s := range p.Text {
		text = append(text, b[s.Start:s.End])
	}
	return b[p.Start:p.End], b[p.Start:p.Open], b[p.Content:p.Close], b[p.Close:p.End], text
}

func TestPlace(t *testing.T) {
	const element = "<p x='>' >a&amp;<![CDATA[<]]><!-- c -->\r\nb<q>z</q><?i?></p >"
	for name, b := range map[string]string{
		"plain":        "<r>" + element + "</r>",
		"after CRLF":   "<?xml version='1.0'?>\r\n<!--\r\r\n--><r>\r\n\té" + element + "\r\n</r>\r",
		"with a mark":  "\ufeff<r>" + element + "</r>",
		"ISO-8859-1":   "<?xml version='1.0' encoding='latin1'?><r>\xe9\xff" + element + "</r>",
		"windows-1252": "<?xml version='1.0' encoding='cp1252'?><r>\x80\x99" + element + "</r>",
		"XML 1.1":      "<?xml version='1.1'?>\r\n<r>\r\n&#1;\r" + element + "</r>",
		"other planes": "<r>😀" + element + "</r>",
		"repeated":     "<r>" + element + element + "</r>",
	} {
		t.Run(name, func(t *testing.T) {
			whole, start, content, end, text := pieces(t, b)
			assert.Equal(t, element, whole)
			assert.Equal(t, "<p x='>' ", start)
			assert.Equal(t, "a&amp;<![CDATA[<]]><!-- c -->\r\nb<q>z</q><?i?>", content)
			assert.Equal(t, "</p >", end)
			assert.Equal(t, []string{"a&amp;<![CDATA[<]]>", "\r\nb"}, text)
		})
	}
}

func TestPlaceInUTF16(t *testing.T) {
	for _, big := range []bool{false, true} {
		encode := func(s string) string { return string(toUTF16(s, big)) }
		for _, before := range []string{"\ufeff<r>\r\n😀", "\ufeff<?xml version='1.1'?>\r\n<r>&#1;",
			"<?xml version='1.0'?><r>é"} {
			whole, _, _, _, text := pieces(t, encode(before+"<p>😀</p></r>"))
			assert.Equal(t, encode("<p>😀</p>"), whole)
			assert.Equal(t, []string{encode("😀")}, text)
		}
	}
}

func TestPlaceEmptyElement(t *testing.T) {
	const b = "<r> <p a='/>' /></r>"
	d, err := Locate([]byte(b))
	require.NoError(t, err)
	p := d.Place(d.Root.Children[0])
	assert.True(t, p.Empty)
	assert.Empty(t, p.Text)
	assert.Equal(t, "/>", b[p.Open:p.Content])
	assert.Equal(t, "<p a='/>' />", b[p.Start:p.End])
}

func TestQuote(t *testing.T) {
	for declaration, want := range map[string]string{
		"<?xml version='1.0'?>":                         "&lt;&amp;&gt;\"'&#9;&#10;&#13;é€&#133;\u00a0ł😀",
		"<?xml version='1.0' encoding='us-ascii'?>":     "&lt;&amp;&gt;\"'&#9;&#10;&#13;&#233;&#8364;&#133;&#160;&#322;&#128512;",
		"<?xml version='1.0' encoding='ISO-8859-1'?>":   "&lt;&amp;&gt;\"'&#9;&#10;&#13;\xe9&#8364;&#133;\xa0&#322;&#128512;",
		"<?xml version='1.0' encoding='windows-1252'?>": "&lt;&amp;&gt;\"'&#9;&#10;&#13;\xe9\x80&#133;\xa0&#322;&#128512;",
	} {
		d, err := Locate([]byte(declaration + "<r/>"))
		require.NoError(t, err)
		got, ok := d.Quote("<&>\"'\t\n\ré€\u0085\u00a0ł😀")
		require.True(t, ok)
		assert.Equal(t, want, string(got), declaration)
		again, err := Parse([]byte(declaration + "<r>" + string(got) + "</r>"))
		require.NoError(t, err)
		assert.Equal(t, "<&>\"'\t\n\ré€\u0085\u00a0ł😀", again.Text)

		for _, text := range []string{"\x00", "\x01", "\uffff", "\xff"} {
			_, ok = d.Quote(text)
			assert.False(t, ok, "%q", text)
		}
	}
	d, err := Locate([]byte("<?xml version='1.1'?><r/>"))
	require.NoError(t, err)
	got, ok := d.Quote("\x01\u2028")
	assert.True(t, ok)
	assert.Equal(t, "&#1;&#8232;", string(got))
}

func TestIndent(t *testing.T) {
	for b, want := range map[string]string{
		"<r>\n <p/></r>": "\n ", "<r>\r\n\t<p/></r>": "\r\n\t", "<r>\r<p/></r>": "\r",
		"<r>\n\n<p/></r>": "\n",
		"<r> <p/></r>":    "none", "<r>\nx <p/></r>": "none", "<r><p/></r>": "none",
	} {
		for _, encode := range []func(string) string{
			func(s string) string { return s },
			func(s string) string { return string(toUTF16("\ufeff"+s, true)) },
			func(s string) string { return string(toUTF16("\ufeff"+s, false)) },
		} {
			d, err := Locate([]byte(encode(b)))
			require.NoError(t, err)
			p := d.Place(d.Root.Children[0])
			start, ok := d.Indent(p.Start)
			assert.Equal(t, want != "none", ok, "%q", b)
			if ok {
				assert.Equal(t, string(d.Markup(want)), encode(b)[start:p.Start], "%q", b)
			}
		}
	}
	d, err := Locate([]byte("<r><p/> \t\r\n</r>"))
	require.NoError(t, err)
	assert.True(t, d.EndsLine(7))
	assert.False(t, d.EndsLine(3))
	assert.False(t, d.EndsLine(15))
}

// FuzzLocate checks that Locate finds the elements that Parse finds, each inside
// its parent, and that a text put at the place of another is read there.
func FuzzLocate(f *testing.F) {
	for _, v := range vectors.LoadXML(f) {
		f.Add(v.Input, "text")
	}
	f.Add([]byte("<?xml version='1.1'?><a b='&#x85;&#1;'>\r\n<![CDATA[]] ]]>&#x85;</a>"),
		"\x01é€\r\n\u2028]]>")
	f.Fuzz(func(t *testing.T, b []byte, text string) {
		root, err := Parse(b)
		d, locateErr := Locate(b)
		require.Equal(t, err == nil, locateErr == nil)
		if err != nil || len(b) > 10_000 {
			return
		}
		require.Equal(t, root, d.Root)
		var all []*Element
		var walk func(e *Element, start, end int)
		walk = func(e *Element, start, end int) {
			all = append(all, e)
			p := d.Place(e)
			require.True(t,
				start <= p.Start && p.Start < p.Open && p.Open < p.Content && p.Content <= p.Close &&
					p.Close <= p.End && p.End <= end)
			require.Equal(t, string(d.Markup("<"+p.Tag)),
				string(b[p.Start:p.Start+len(d.Markup("<"+p.Tag))]))
			if !p.Empty {
				require.Equal(t, string(d.Markup("</"+p.Tag)),
					string(b[p.Close:p.Close+len(d.Markup("</"+p.Tag))]))
			}
			at := p.Content
			for _, s := range p.Text {
				require.True(t, at <= s.Start && s.Start < s.End && s.End <= p.Close)
				at = s.End
			}
			at = p.Content
			for _, child := range e.Children {
				walk(child, at, p.Close)
				at = d.Place(child).End
			}
		}
		walk(d.Root, 0, len(b))
		quoted, ok := d.Quote(text)
		e := all[len(text)%len(all)]
		p := d.Place(e)
		if !ok || p.Empty {
			return
		}
		edited := append(append([]byte{}, b[:p.Content]...), quoted...)
		at := p.Content
		for _, s := range p.Text {
			edited = append(edited, b[at:s.Start]...)
			at = s.End
		}
		e.Text = text
		again, err := Parse(append(edited, b[at:]...))
		require.NoError(t, err)
		require.Equal(t, withoutLines(d.Root), withoutLines(again))
	})
}
