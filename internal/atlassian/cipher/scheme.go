package cipher

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/atlassian/cipher/javaobj"
	"github.com/seed74218947/secretref/internal/fault"
)

// A scheme is a block cipher in CBC mode with PKCS #5 padding.
type scheme struct {
	cipher string
	alias  string // another name for it in the JDK, in keys
	block  int    // size in bytes, also of the initialization vector
	keys   []int  // sizes in bytes
	make   func(key []byte) (cipher.Block, error)
}

// schemes are the ciphers that the vendor documents.
var schemes = []scheme{
	{"AES", "Rijndael", aes.BlockSize, []int{16, 24, 32}, aes.NewCipher},
	{"DES", "DES", des.BlockSize, []int{8}, des.NewCipher},
	{"DESede", "TripleDES", des.BlockSize, []int{24}, des.NewTripleDESCipher},
}

const schemesText = "the products use AES/CBC/PKCS5Padding, DES/CBC/PKCS5Padding and DESede/CBC/PKCS5Padding"

// errMismatch means that the key is not that of the sealed object, or one of them is
// damaged. By design it does not distinguish these.
var errMismatch = errors.New("the key does not open the sealed object")

// schemeOf returns the scheme of a sealed object, after checking its parameters.
func schemeOf(s javaobj.Sealed) (scheme, error) {
	c, ok := transformation(s.SealAlg)
	switch {
	case !ok:
		return c, fault.New(fault.Unsupported,
			"it is encrypted with %s: %s", algorithmLabel(s.SealAlg), schemesText)
	case s.EncodedParams == nil:
		return c, fault.New(fault.Unsupported,
			"it has no parameters, but %s/CBC needs an initialization vector", c.cipher)
	case !c.accepts(s.ParamsAlg):
		return c, fault.New(fault.Unsupported,
			"it is encrypted with %s but has parameters of %s", c.cipher, algorithmLabel(s.ParamsAlg))
	}
	_, err := c.vector(s.EncodedParams)
	return c, err
}

// transformation returns the scheme for a name of the JDK, in any letter case and
// with spaces around its parts (javax.crypto.Cipher).
func transformation(name string) (scheme, bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 3 || !equalPart(parts[1], "CBC") || !equalPart(parts[2], "PKCS5Padding") {
		return scheme{}, false
	}
	i := slices.IndexFunc(schemes, func(c scheme) bool {
		return equalPart(parts[0], c.cipher) || c.cipher == "DESede" && equalPart(parts[0], c.alias)
	})
	if i < 0 {
		return scheme{}, false
	}
	return schemes[i], true
}

// accepts reports whether a key or parameters of that algorithm can be used.
func (c scheme) accepts(algorithm string) bool {
	return equalFold(algorithm, c.cipher) || equalFold(algorithm, c.alias)
}

// vector returns the initialization vector, whose DER is the parameters: an OCTET
// STRING of one block (X.690, 8.7 and 10.1).
func (c scheme) vector(der []byte) ([]byte, error) {
	const octetString = 0x04
	if len(der) > 0 && der[0] != octetString {
		return nil, fault.New(fault.Unsupported,
			"its parameters are not an initialization vector, as CBC needs it (are they those of GCM?)")
	}
	if len(der) != 2+c.block || int(der[1]) != c.block {
		return nil, fault.New(fault.Corrupt,
			"its parameters are not an initialization vector of %d bytes", c.block)
	}
	return der[2:], nil
}

// checkKey refuses a key that the JDK would refuse for c. A DESede key must have its
// full length.
func (c scheme) checkKey(key javaobj.Key) error {
	if !c.accepts(key.Algorithm) {
		return fault.New(fault.Corrupt,
			"the key is for %s, but the sealed object needs one for %s: are they a pair?",
			algorithmLabel(key.Algorithm), c.cipher)
	}
	if !slices.Contains(c.keys, len(key.Encoded)) {
		return fault.New(fault.Corrupt,
			"the key has %d bytes, which %s does not support", len(key.Encoded), c.cipher)
	}
	return nil
}

// open decrypts the sealed string with a key that was checked, or returns
// errMismatch.
func (c scheme) open(s javaobj.Sealed, key javaobj.Key) (string, error) {
	vector, err := c.vector(s.EncodedParams)
	if err != nil {
		return "", err
	}
	block, err := c.make(key.Encoded)
	if err != nil {
		return "", fault.New(fault.Unsupported,
			"%s cannot be used in this process, which runs in FIPS 140 mode (GODEBUG=fips140=only): "+
				"encrypt the password again with AES", c.cipher)
	}
	if n := len(s.EncryptedContent); n == 0 || n%c.block != 0 {
		return "", errMismatch
	}
	plain := make([]byte, len(s.EncryptedContent))
	cipher.NewCBCDecrypter(block, vector).CryptBlocks(plain, s.EncryptedContent)
	stream, ok := unpad(plain, c.block)
	if !ok {
		return "", errMismatch
	}
	password, err := javaobj.ReadString(stream)
	if errors.Is(err, fault.Unsupported) {
		// The key was right. The original error names the class, which is content.
		return "", fault.New(fault.Unsupported,
			"the sealed object was decrypted, but contains an object that is not a string")
	}
	if errors.Is(err, javaobj.ErrSurrogate) {
		return "", fault.New(fault.Corrupt,
			"the sealed object was decrypted, but its string has an unpaired surrogate: encrypt the password again")
	}
	if err != nil {
		return "", errMismatch
	}
	return password, nil
}

// unpad removes PKCS #5 padding (RFC 8018, 6.1.1): n bytes of value n, at least one
// and at most a block.
func unpad(plain []byte, block int) ([]byte, bool) {
	n := int(plain[len(plain)-1])
	if n == 0 || n > block {
		return nil, false
	}
	end := len(plain) - n
	for _, b := range plain[end:] {
		if int(b) != n {
			return nil, false
		}
	}
	return plain[:end], true
}

// checkAlgorithms refuses algorithms that the vendor's tool does not accept.
func (v value) checkAlgorithms() error {
	if v.algorithm != "" {
		if _, ok := transformation(v.algorithm); !ok {
			return fault.New(fault.Unsupported,
				"field %q is %s: %s", fieldAlgorithm, algorithmLabel(v.algorithm), schemesText)
		}
	}
	if v.algorithmKey != "" &&
		!slices.ContainsFunc(schemes, func(c scheme) bool { return c.accepts(v.algorithmKey) }) {
		return fault.New(fault.Unsupported,
			"field %q is %s: it must be AES, DES or DESede", fieldAlgorithmKey,
			algorithmLabel(v.algorithmKey))
	}
	return nil
}

// checkScheme refuses a value with another algorithm than the sealed object, which
// may be the wrong object. The product only uses the algorithm of the object.
func (v value) checkScheme(c scheme) error {
	stated, ok := transformation(v.algorithm)
	if ok && stated.cipher != c.cipher || v.algorithmKey != "" && !c.accepts(v.algorithmKey) {
		return fault.New(fault.Syntax,
			"the value names another algorithm (%q, %q) than that of the sealed object, %s: is it the right one?",
			fieldAlgorithm, fieldAlgorithmKey, c.cipher)
	}
	return nil
}

// equalPart compares a part of a transformation as the JDK does.
func equalPart(part, name string) bool { return equalFold(strings.Trim(part, " \t"), name) }

// equalFold is strings.EqualFold for ASCII only.
func equalFold(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

// algorithmLabel returns the name of an algorithm for messages, if it looks like
// one.
func algorithmLabel(name string) string {
	for i := range len(name) {
		if c := name[i]; !inAlphabet(c) && !strings.ContainsRune("._- ", rune(c)) {
			return "another algorithm"
		}
	}
	if name == "" || len(name) > 64 {
		return "another algorithm"
	}
	return fmt.Sprintf("%q", name)
}
