// Package javaobjtest writes Java serialization streams for tests, byte for byte as a
// JDK does.
package javaobjtest

import (
	"encoding/binary"
	"unicode/utf16"

	"github.com/seed74218947/secretref/internal/atlassian/cipher/javaobj"
)

// Header is the start of every stream.
const Header = "\xac\xed\x00\x05"

// Key writes a javax.crypto.spec.SecretKeySpec.
func Key(k javaobj.Key) []byte {
	w := writer{b: []byte(Header + "\x73\x72")}
	w.utf("javax.crypto.spec.SecretKeySpec")
	w.raw("\x5b\x47\x0b\x66\xe2\x30\x61\x4d\x02\x00\x02L")
	w.utf("algorithm")
	w.raw("\x74")
	w.utf("Ljava/lang/String;")
	w.raw("[")
	w.utf("key")
	w.raw("\x74")
	w.utf("[B")
	w.raw("\x78\x70")
	w.text(&k.Algorithm)
	w.array(k.Encoded, false)
	return w.b
}

// Sealed writes a javax.crypto.SealedObject. Nil parameters and an empty algorithm of
// parameters are written as null.
func Sealed(s javaobj.Sealed) []byte {
	w := writer{b: []byte(Header + "\x73\x72")}
	w.utf("javax.crypto.SealedObject")
	w.raw("\x3e\x36\x3d\xa6\xc3\xb7\x54\x70\x02\x00\x04[")
	w.utf("encodedParams")
	w.raw("\x74")
	w.utf("[B")
	w.raw("[")
	w.utf("encryptedContent")
	w.raw("\x71\x00\x7e\x00\x01L")
	w.utf("paramsAlg")
	w.raw("\x74")
	w.utf("Ljava/lang/String;")
	w.raw("L")
	w.utf("sealAlg")
	w.raw("\x71\x00\x7e\x00\x02\x78\x70")
	// The handles: class, "[B", "Ljava…", object, and the class of the arrays.
	w.array(s.EncodedParams, false)
	w.array(s.EncryptedContent, s.EncodedParams != nil)
	if s.ParamsAlg == "" {
		w.text(nil)
	} else {
		w.text(&s.ParamsAlg)
	}
	w.text(&s.SealAlg)
	return w.b
}

// String writes a java.lang.String.
func String(s string) []byte { return Units(utf16.Encode([]rune(s))) }

// Units writes a java.lang.String with any UTF-16 units, unpaired ones too.
func Units(units []uint16) []byte {
	w := writer{b: []byte(Header)}
	w.units(units)
	return w.b
}

type writer struct{ b []byte }

func (w *writer) raw(s string) { w.b = append(w.b, s...) }

// utf writes the length of an ASCII string, then the string.
func (w *writer) utf(s string) {
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(len(s)))
	w.raw(s)
}

// array writes a byte[]; again is set for the second one.
func (w *writer) array(b []byte, again bool) {
	switch {
	case b == nil:
		w.raw("\x70")
		return
	case again:
		w.raw("\x75\x71\x00\x7e\x00\x04")
	default:
		w.raw("\x75\x72\x00\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00\x78\x70")
	}
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(len(b)))
	w.b = append(w.b, b...)
}

func (w *writer) text(s *string) {
	if s == nil {
		w.raw("\x70")
		return
	}
	w.units(utf16.Encode([]rune(*s)))
}

func (w *writer) units(units []uint16) {
	var body []byte
	for _, u := range units {
		switch {
		case u != 0 && u < 0x80:
			body = append(body, byte(u))
		case u < 0x800:
			body = append(body, 0xc0|byte(u>>6), 0x80|byte(u&0x3f))
		default:
			body = append(body, 0xe0|byte(u>>12), 0x80|byte(u>>6&0x3f), 0x80|byte(u&0x3f))
		}
	}
	if len(body) > 0xffff {
		w.raw("\x7c")
		w.b = binary.BigEndian.AppendUint64(w.b, uint64(len(body)))
	} else {
		w.raw("\x74")
		w.b = binary.BigEndian.AppendUint16(w.b, uint16(len(body)))
	}
	w.b = append(w.b, body...)
}
