package atlassian

import (
	"strings"
	"unicode"

	"github.com/seed74218947/secretref/internal/ref"
)

// CipherClass is how a cipher class reads a value.
type CipherClass uint8

// The cipher classes, by their effect. NoClass means that none is named.
const (
	NoClass CipherClass = iota
	AWSClass
	VaultClass
	Base64Class
	AlgorithmClass
	CustomClass
)

// OnlyAESClass is Crowd's algorithm class, which accepts no other cipher than
// AES.
const OnlyAESClass = "com.atlassian.db.config.password.ciphers.algorithm.AesOnlyAlgorithmCipher"

// classes has the names of the products' own classes, the older ones included.
var classes = map[string]CipherClass{
	"": NoClass,

	"com.atlassian.secrets.store.aws.AwsSecretsManagerStore":             AWSClass,
	"com.atlassian.secrets.store.vault.VaultSecretStore":                 VaultClass,
	"com.atlassian.secrets.store.base64.Base64SecretStore":               Base64Class,
	"com.atlassian.db.config.password.ciphers.base64.Base64Cipher":       Base64Class,
	"com.atlassian.secrets.store.algorithm.AlgorithmSecretStore":         AlgorithmClass,
	"com.atlassian.db.config.password.ciphers.algorithm.AlgorithmCipher": AlgorithmClass,
	OnlyAESClass: AlgorithmClass,
}

// kinds has the backends whose coordinates classes read.
var kinds = map[CipherClass]ref.Kind{AWSClass: ref.AWS, VaultClass: ref.Vault}

// CipherClassOf returns what a class with that name reads.
func CipherClassOf(name string) CipherClass {
	if class, ok := classes[name]; ok {
		return class
	}
	return CustomClass
}

// Kind returns the backend whose coordinates the class reads, or zero.
func (c CipherClass) Kind() ref.Kind { return kinds[c] }

// LooksLikeClass reports whether text can be the name of a Java class in a
// package.
func LooksLikeClass(text string) bool {
	segments := strings.Split(text, ".")
	for _, s := range segments {
		for i, c := range s {
			if c != '_' && c != '$' && !unicode.IsLetter(c) && (i == 0 || !unicode.IsDigit(c)) {
				return false
			}
		}
		if s == "" {
			return false
		}
	}
	return len(segments) > 1
}
