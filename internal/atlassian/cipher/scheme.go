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

// scheme is a block cipher in CBC mode with the padding of PKCS #5.
type scheme struct {
	cipher string
	alias  string // that the JDK takes, too, for the cipher of a key
	block  int    // in bytes, and the size of the initialization vector
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

// errPair says that key and sealed object do not belong together or one of them
// is damaged. It is on purpose that nobody can tell which from it.
var errPair = errors.New("the key does not open the sealed object")

// schemeOf returns the scheme of a sealed object whose parameters fit.
func schemeOf(s javaobj.Sealed) (scheme, error) {
	c, ok := transformation(s.SealAlg)
	switch {
	case !ok:
		return c, fault.New(fault.Unsupported, "it is sealed with %s: %s", quoted(s.SealAlg), schemesText)
	case s.EncodedParams == nil:
		return c, fault.New(fault.Unsupported, "it has no parameters, but %s/CBC needs an initialization vector", c.cipher)
	case !c.named(s.ParamsAlg):
		return c, fault.New(fault.Unsupported, "it is sealed with %s but has parameters of %s", c.cipher, quoted(s.ParamsAlg))
	}
	_, err := c.vector(s.EncodedParams)
	return c, err
}

// transformation returns the scheme that a JDK's name for one means. Letter case
// and spaces around the parts do not matter (javax.crypto.Cipher).
func transformation(name string) (scheme, bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 3 || !same(parts[1], "CBC") || !same(parts[2], "PKCS5Padding") {
		return scheme{}, false
	}
	i := slices.IndexFunc(schemes, func(c scheme) bool {
		return same(parts[0], c.cipher) || c.cipher == "DESede" && same(parts[0], c.alias)
	})
	if i < 0 {
		return scheme{}, false
	}
	return schemes[i], true
}

// named reports whether a key or parameters of that algorithm fit.
func (c scheme) named(algorithm string) bool {
	return equalFold(algorithm, c.cipher) || equalFold(algorithm, c.alias)
}

// vector returns the initialization vector, which is the parameters' DER: an
// OCTET STRING of one block (X.690, 8.7 and 10.1).
func (c scheme) vector(der []byte) ([]byte, error) {
	const octetString = 0x04
	if len(der) > 0 && der[0] != octetString {
		return nil, fault.New(fault.Unsupported, "its parameters are not those of CBC, an initialization vector (GCM's are others)")
	}
	if len(der) != 2+c.block || int(der[1]) != c.block {
		return nil, fault.New(fault.Corrupt, "its parameters are not an initialization vector of %d bytes", c.block)
	}
	return der[2:], nil
}

// fits refuses a key that the JDK would refuse for c. It takes a DESede key in
// its full length only.
func (c scheme) fits(key javaobj.Key) error {
	if !c.named(key.Algorithm) {
		return fault.New(fault.Corrupt, "the key is one for %s, but the sealed object wants %s: are they a pair?", quoted(key.Algorithm), c.cipher)
	}
	if !slices.Contains(c.keys, len(key.Encoded)) {
		return fault.New(fault.Corrupt, "the key has %d bytes: %s does not have keys of that length", len(key.Encoded), c.cipher)
	}
	return nil
}

// open returns what was sealed, with a key that fits, or errPair.
func (c scheme) open(s javaobj.Sealed, key javaobj.Key) (string, error) {
	vector, err := c.vector(s.EncodedParams)
	if err != nil {
		return "", err
	}
	block, err := c.make(key.Encoded)
	if err != nil {
		return "", fault.New(fault.Unsupported, "%s cannot be used in this process, which runs in FIPS 140 mode (GODEBUG=fips140=only): "+
			"seal the password again with AES", c.cipher)
	}
	if n := len(s.EncryptedContent); n == 0 || n%c.block != 0 {
		return "", errPair
	}
	plain := make([]byte, len(s.EncryptedContent))
	cipher.NewCBCDecrypter(block, vector).CryptBlocks(plain, s.EncryptedContent)
	stream, ok := unpad(plain, c.block)
	if !ok {
		return "", errPair
	}
	password, err := javaobj.ReadString(stream)
	if errors.Is(err, fault.Unsupported) {
		// The key was right. The error would name the class, which is content.
		return "", fault.New(fault.Unsupported, "the sealed object opens, but holds an object that is not a string: it is no password")
	}
	if errors.Is(err, javaobj.ErrSurrogate) {
		return "", fault.New(fault.Corrupt, "the sealed object opens, but its string holds half of a surrogate pair, which is no character: seal the password again")
	}
	if err != nil {
		return "", errPair
	}
	return password, nil
}

// unpad removes the padding of PKCS #5 (RFC 8018, 6.1.1): n bytes of value n, at
// least one and at most a block.
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

// checkAlgorithms refuses what the vendor's tool would not take.
func (v value) checkAlgorithms() error {
	if v.algorithm != "" {
		if _, ok := transformation(v.algorithm); !ok {
			return fault.New(fault.Unsupported, "field %q is %s: %s", fieldAlgorithm, quoted(v.algorithm), schemesText)
		}
	}
	if v.algorithmKey != "" && !slices.ContainsFunc(schemes, func(c scheme) bool { return c.named(v.algorithmKey) }) {
		return fault.New(fault.Unsupported, "field %q is %s: it is AES, DES or DESede", fieldAlgorithmKey, quoted(v.algorithmKey))
	}
	return nil
}

// agrees refuses a value that speaks of another algorithm than the sealed
// object, which alone decides: one of the two is not what somebody thinks.
func (v value) agrees(c scheme) error {
	said, ok := transformation(v.algorithm)
	if ok && said.cipher != c.cipher || v.algorithmKey != "" && !c.named(v.algorithmKey) {
		return fault.New(fault.Syntax, "the value speaks of another algorithm (%q, %q) than the sealed object, which is %s: is it the right one?",
			fieldAlgorithm, fieldAlgorithmKey, c.cipher)
	}
	return nil
}

// same compares a part of a transformation as the JDK does.
func same(part, name string) bool { return equalFold(strings.Trim(part, " \t"), name) }

// equalFold is strings.EqualFold for ASCII only.
func equalFold(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

// quoted returns the name of an algorithm if it looks like one.
func quoted(name string) string {
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
