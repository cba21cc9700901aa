package javaobj

import (
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

const stringClass = "java.lang.String"

// class is the expected descriptor of a class. The order of the fields is canonical
// (section 4.3 of the specification) and is also that of their values.
type class struct {
	name   string
	uid    uint64
	fields []field
}

type field struct{ name, signature string }

var (
	secretKeySpec = class{"javax.crypto.spec.SecretKeySpec", 0x5b470b66e230614d, []field{
		{"algorithm", "Ljava/lang/String;"},
		{"key", "[B"},
	}}
	sealedObject = class{"javax.crypto.SealedObject", 0x3e363da6c3b75470, []field{
		{"encodedParams", "[B"},
		{"encryptedContent", "[B"},
		{"paramsAlg", "Ljava/lang/String;"},
		{"sealAlg", "Ljava/lang/String;"},
	}}
	byteArray = class{"[B", 0xacf317f8060854e0, nil}
)

// The flags of a class descriptor (section 6.4.2).
const (
	flagWriteMethod    = 0x01
	flagSerializable   = 0x02
	flagExternalizable = 0x04
	flagEnum           = 0x10
)

// classDesc reads the descriptor of c, or a reference to it.
func (r *reader) classDesc(c *class) error {
	if r.peek() == tagReference {
		start := r.at
		h, err := r.reference(aClass)
		if err == nil && h.class != c {
			return corrupt("the back reference at byte %d is to another class than %s", start, c.name)
		}
		return err
	}
	if err := r.tag(tagClassDesc, "the descriptor of "+c.name); err != nil {
		return err
	}
	name, err := r.utf(2)
	if err != nil {
		return err
	}
	if name != c.name {
		return corrupt("expected the descriptor of %[2]s before byte %[1]d, found that of another class",
			r.at, c.name)
	}
	uid, err := r.number(8)
	if err != nil {
		return err
	}
	if uid != c.uid {
		return corrupt("%s does not have the serialVersionUID of the JDK", c.name)
	}
	r.remember(handle{kind: aClass, class: c})
	if err := r.flags(c); err != nil {
		return err
	}
	if err := r.fields(c); err != nil {
		return err
	}
	// A plain ObjectOutputStream writes no annotations.
	if err := r.tag(tagEndBlockData, "the end of the class annotation"); err != nil {
		return err
	}
	return r.tag(tagNull, "no superclass")
}

func (r *reader) flags(c *class) error {
	flags, err := r.number(1)
	switch {
	case err != nil:
		return err
	case flags == flagSerializable:
		return nil
	case flags&flagExternalizable != 0:
		return corrupt("%s is marked as externalizable", c.name)
	case flags&flagEnum != 0:
		return corrupt("%s is marked as an enum", c.name)
	case flags&flagWriteMethod != 0:
		return corrupt("%s is marked as having a writeObject method", c.name)
	}
	return corrupt("%s has the flags 0x%02x", c.name, flags)
}

// fields reads the field descriptors of c.
func (r *reader) fields(c *class) error {
	n, err := r.number(2)
	if err != nil {
		return err
	}
	if n != uint64(len(c.fields)) {
		return corrupt("%s has %d fields instead of %d", c.name, n, len(c.fields))
	}
	for _, f := range c.fields {
		start := r.at
		code, err := r.number(1)
		if err != nil {
			return err
		}
		name, err := r.utf(2)
		if err != nil {
			return err
		}
		if byte(code) != f.signature[0] || name != f.name {
			return corrupt("expected at byte %d the field %s of %s", start, f.name, c.name)
		}
		var signature text
		if err := signature.read(r); err != nil {
			return err
		}
		if signature.value != f.signature {
			return corrupt("the field %s of %s does not have the type %s", f.name, c.name, f.signature)
		}
	}
	return nil
}

// expect refuses an object of another class than want. It reads nothing.
func (r *reader) expect(want string) error {
	if name := r.nextClass(); name != "" && name != want {
		return fault.New(fault.Unsupported,
			"it contains a Java object of the class %s instead of %s", name, want)
	}
	return nil
}

// nextClass returns the class name of the next object, or "" if it cannot be
// read.
func (r *reader) nextClass() string {
	ahead := *r
	first := ahead.peek()
	ahead.at++
	switch first {
	case tagString, tagLongString:
		ahead.at--
		var s text
		if s.read(&ahead) == nil && ahead.end() == nil {
			return stringClass
		}
	case tagObject, tagArray, tagEnum, tagClass:
		if ahead.tag(tagClassDesc, "") != nil {
			return ""
		}
		if name, err := ahead.utf(2); err == nil && isClassName(name) {
			return name
		}
	}
	return ""
}

// isClassName reports whether name may be quoted in a message, since a damaged stream
// can have any bytes in its place.
func isClassName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') &&
			!strings.ContainsRune("._$[;", rune(c)) {
			return false
		}
	}
	return name != "" && len(name) <= 200
}
