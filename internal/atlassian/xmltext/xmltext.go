// Package xmltext reads a small XML document into a tree of elements whose
// texts are those dom4j's getText gives on the JDK's namespace-aware Xerces,
// and refuses what Xerces refuses. [Parse] is the way in.
//
// It is stricter than Xerces where a lenient reading could end in a wrong
// password or in reading something other than the bytes at hand: a DOCTYPE
// with an internal subset or an external identifier is refused, and so is a
// byte that the encoding does not define, which Java replaces by U+FFFD.
//
// No error quotes the document but for the name of an unsupported encoding.
// Element and attribute names are no exception: with a bare '<' or '&' in it,
// part of a password looks like a name.
package xmltext

// Element is one element of the document.
type Element struct {
	// Name is the local name; the namespace prefix is left out.
	Name string

	// Attrs are in document order. Namespace declarations are not among them.
	Attrs []Attr

	// Text is the element's own character data and CDATA sections in one
	// piece, white space included and the text of its children left out.
	Text string

	// Line is the line of the start tag's '<', counted from 1.
	Line int

	Children []*Element
}

// Attr is an attribute. Two of one element can have the same local name, in
// different namespaces.
type Attr struct {
	Name, Value string
}

// maxDepth bounds the nesting of elements.
const maxDepth = 1000

// Parse returns the root element of the document b, which may be XML 1.0 or
// 1.1 in UTF-8, UTF-16, US-ASCII, ISO-8859-1 or windows-1252.
//
// The error is of kind [fault.Syntax], or [fault.Unsupported] for another
// encoding or version and for a DOCTYPE that says more than a name. It holds
// the line. Elements may be nested 1000 deep. Time and memory are linear in
// len(b); bounding that is up to the caller.
func Parse(b []byte) (*Element, error) {
	d, err := decode(b)
	if err != nil {
		return nil, err
	}
	return newParser(d).document()
}

func newParser(d decoded) *parser {
	return &parser{s: d.text, xml11: d.xml11, markLine: d.line, bound: map[string]string{"xml": xmlNamespace}}
}
