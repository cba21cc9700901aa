// Package xmltext reads a small XML document into a tree of elements. Their
// texts equal the results of dom4j's getText on the JDK's namespace-aware
// Xerces, and documents that Xerces refuses are refused. Use [Parse] to read a
// document and [Locate] to edit one.
//
// It is stricter than Xerces where a lenient reading could lead to a wrong
// password or read anything but the given bytes. It refuses a DOCTYPE with an
// internal subset or an external identifier, and a byte that the encoding does
// not define, which Java replaces by U+FFFD. XML 1.1, which no product writes,
// is read as far as it agrees with XML 1.0, plus references to control
// characters; a document that the two versions read differently is refused.
//
// Errors quote nothing from the document except the name of an unsupported
// encoding. Element and attribute names are not quoted either: after a bare '<'
// or '&', a part of a password looks like a name.
package xmltext

// Element is one element of the document.
type Element struct {
	// Name is the local name, without a namespace prefix.
	Name string

	// Attrs are in document order. Namespace declarations are not among them.
	Attrs []Attr

	// Text is the element's own character data and CDATA sections, joined,
	// with white space and without the text of its children.
	Text string

	// Line is the line of the start tag's '<', counted from 1.
	Line int

	Children []*Element
}

// Attr is an attribute. Two attributes of one element can have the same local
// name in different namespaces.
type Attr struct {
	Name, Value string
}

// maxDepth limits the nesting of elements.
const maxDepth = 1000

// Parse returns the root element of the document b. Supported encodings are
// UTF-8, UTF-16, US-ASCII, ISO-8859-1 and windows-1252.
//
// Errors are of kind [fault.Syntax], or [fault.Unsupported] for another
// encoding or version and for a DOCTYPE with more than a name. They name the
// line. Elements may be nested 1000 deep. Time and memory are linear in
// len(b), which the caller has to limit.
func Parse(b []byte) (*Element, error) {
	d, err := decode(b)
	if err != nil {
		return nil, err
	}
	return newParser(d).document()
}

func newParser(d decoded) *parser {
	return &parser{s: d.text, xml11: d.xml11, markLine: d.line,
		bound: map[string]string{"xml": xmlNamespace}}
}
