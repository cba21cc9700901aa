package xmltext

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/test/vectors"
)

// FuzzParse checks three laws: Parse returns a tree or a located error of a known
// kind; a tree that is written and read again in any encoding stays the same; and
// encoding/xml, which is laxer, reads the same texts from XML 1.0 in UTF-8.
func FuzzParse(f *testing.F) {
	for _, v := range vectors.LoadXML(f) {
		f.Add(v.Input)
	}
	f.Add([]byte("<?xml version='1.1'?><a b='&#x85;&#1;'>\r\n<![CDATA[]] ]]>&#x85;</a>"))
	f.Add([]byte("<p:a xmlns:p='u' p:b='1' b='2'>x<p:c/>y</p:a>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		root, err := Parse(b)
		if err != nil {
			require.Nil(t, root)
			require.True(t, errors.Is(err, fault.Syntax) || errors.Is(err, fault.Unsupported))
			require.Regexp(t, `^[a-z ]+: line [1-9][0-9]*: `, err.Error())
			return
		}
		require.Positive(t, root.Line)
		if texts, ok := stdTexts(b); ok {
			require.Equal(t, texts, ownTexts(nil, root))
		}

		var doc strings.Builder
		render(&doc, root)
		for _, encoded := range [][]byte{
			[]byte(`<?xml version="1.1"?>` + doc.String()),
			toUTF16("\ufeff<?xml version='1.1'?>"+doc.String(), false),
			toUTF16("<?xml version='1.1' encoding='utf-16be'?>"+doc.String(), true),
		} {
			again, err := Parse(encoded)
			require.NoError(t, err)
			require.Equal(t, withoutLines(root), withoutLines(again))
		}
	})
}

// render writes e as XML 1.1: its text first, then its children. Every attribute
// gets its own namespace, since two may share a local name.
func render(w *strings.Builder, e *Element) {
	fmt.Fprintf(w, "<%s", e.Name)
	for i, a := range e.Attrs {
		fmt.Fprintf(w, " n%d:%s='%s' xmlns:n%d='u%d'", i, a.Name, references(a.Value), i, i)
	}
	fmt.Fprintf(w, ">%s", references(e.Text))
	for _, child := range e.Children {
		render(w, child)
	}
	fmt.Fprintf(w, "</%s>", e.Name)
}

func references(s string) string {
	var out strings.Builder
	for _, r := range s {
		fmt.Fprintf(&out, "&#x%X;", r)
	}
	return out.String()
}

func toUTF16(s string, bigEndian bool) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		if bigEndian {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return b
}

func withoutLines(e *Element) Element {
	out := *e
	out.Line = 0
	out.Children = nil
	for _, child := range e.Children {
		child := withoutLines(child)
		out.Children = append(out.Children, &child)
	}
	return out
}

// ownTexts appends the texts of e and its descendants, in document order.
func ownTexts(texts []string, e *Element) []string {
	texts = append(texts, e.Text)
	for _, child := range e.Children {
		texts = ownTexts(texts, child)
	}
	return texts
}

// stdTexts is ownTexts with encoding/xml. It returns false for a document that
// may be in a version or encoding that encoding/xml does not support.
func stdTexts(b []byte) (texts []string, ok bool) {
	if bytes.Contains(b, []byte("<?xml")) || bytes.Contains(b, []byte("\x00")) {
		return nil, false
	}
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(b, []byte("\ufeff"))))
	var open []int
	for {
		token, err := d.Token()
		if err == io.EOF {
			return texts, true
		}
		if err != nil {
			return nil, false // stricter about some names
		}
		switch token := token.(type) {
		case xml.StartElement:
			open = append(open, len(texts))
			texts = append(texts, "")
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				texts[open[len(open)-1]] += string(token)
			}
		}
	}
}
