// Package cipher decodes the values of the cipher classes that keep the password in
// the configuration file or in files next to it: [Base64], which only encodes it,
// and [Algorithm], which encrypts it under a key in another file.
//
// Errors contain no part of a password, a key or an encrypted object.
package cipher

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// Base64 returns the password for a value of Base64SecretStore or Base64Cipher.
// White space around the value is ignored; an empty value is an empty password.
//
// It accepts the input of java.util.Base64.getDecoder with three exceptions, which
// are fault.Syntax because they would lead to a wrong password: bits left over
// after the last byte, a sign of a lost character; bytes that are not UTF-8, which
// Java silently replaces; and UTF-16, in which every second byte is NUL.
func Base64(text string) (string, error) {
	text = strings.TrimSpace(text)
	if err := checkClass(text); err != nil {
		return "", err
	}
	decoded, err := decode(text)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(decoded) {
		return "", fault.New(fault.Syntax,
			"the decoded value is not UTF-8 text: is the value the password itself, or was it encrypted?")
	}
	if n := bytes.Count(decoded, []byte{0}); n > 1 && 2*n >= len(decoded) {
		return "", fault.New(fault.Syntax,
			"every second byte of the decoded value is NUL: it was encoded from UTF-16, but the products use UTF-8")
	}
	return string(decoded), nil
}

// checkClass refuses values of other classes.
func checkClass(text string) error {
	const unfit = "the cipher class does not fit the value: the class is that of Base64, but the value "
	if ref.IsPlaceholder(text) {
		return ref.PlaceholderError()
	}
	body, prefixed := ref.CutPrefix(text)
	body = strings.TrimSpace(body)
	switch object := strings.HasPrefix(body, "{") || strings.HasPrefix(body, "<"); {
	case object &&
		(strings.Contains(body, fieldSealedPath) || strings.Contains(body, fieldKeyPath) ||
			strings.Contains(body, fieldSealed)):
		return fault.New(fault.Syntax, unfit+"is that of AlgorithmSecretStore (or AlgorithmCipher)")
	case object:
		return fault.New(fault.Syntax,
			unfit+"looks like coordinates: if it is a reference, name the class of its store (AWS Secrets Manager, Vault)")
	case prefixed:
		return fault.New(fault.Syntax,
			unfit+"has the prefix of a reference: if it is Base64, remove the prefix")
	}
	return nil
}

// decode decodes the standard alphabet of RFC 4648, with complete padding or
// none.
func decode(text string) ([]byte, error) {
	body := strings.TrimRight(text, "=")
	for i := range len(body) {
		if c := body[i]; !inAlphabet(c) {
			return nil, fault.New(fault.Syntax,
				"the value is not Base64: at byte %d there is %s", i, describeByte(c))
		}
	}
	padding := len(text) - len(body)
	if padding > 2 || padding > 0 && len(text)%4 != 0 {
		return nil, fault.New(fault.Syntax,
			"the value is not Base64: its padding (=) is wrong; is it cut short?")
	}
	// Strict refuses bits that are left over.
	decoded, err := base64.RawStdEncoding.Strict().DecodeString(body)
	if err != nil {
		return nil, fault.New(fault.Syntax,
			"the value is not Base64: its last character does not complete a byte; is it cut short?")
	}
	return decoded, nil
}

func inAlphabet(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/'
}

// describeByte describes a character outside the alphabet without quoting it, since
// the value may be the password itself.
func describeByte(c byte) string {
	switch c {
	case '-', '_':
		return "a character of the URL alphabet (the products use the standard one)"
	case '=':
		return "padding (=) before the end"
	case ' ', '\t', '\r', '\n':
		return "white space"
	}
	return "a character outside the alphabet (is it the password itself?)"
}
