package cipher

import (
	"cmp"
	"errors"
	"os"

	"github.com/seed74218947/secretref/internal/atlassian/cipher/javaobj"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/secfile"
)

// Environment variables for paths that are missing in the value.
const (
	variableSealed = "com_atlassian_db_config_password_ciphers_algorithm_javax_crypto_SealedObject"
	variableKey    = "com_atlassian_db_config_password_ciphers_algorithm_javax_crypto_spec_SecretKeySpec"
)

// Algorithm opens the values of AlgorithmSecretStore and AlgorithmCipher. It is
// safe for concurrent use.
type Algorithm struct {
	// Dir is the directory of the configuration file, the base of relative paths.
	// If empty, it is the working directory.
	Dir string

	// Getenv reads the environment. If nil, os.Getenv does.
	Getenv func(string) string

	// OnlyAES refuses ciphers other than AES, as Crowd's AesOnlyAlgorithmCipher
	// does.
	OnlyAES bool
}

// Open returns the password for a value: a JSON object, with or without a prefix,
// that names the files of the sealed object and its key.
//
// The error is fault.Syntax if the value is invalid; fault.NotFound, fault.Denied
// or fault.Unavailable if a file cannot be read; fault.Unsupported if a file has
// other contents, or an algorithm that the products do not support or this process
// may not use; and fault.Corrupt if a file is damaged or the key is not that of the
// object. The password is a serialized string in a padded block, so that a wrong
// key practically never opens it.
func (a Algorithm) Open(value string) (string, error) {
	v, err := parse(value)
	if err != nil {
		return "", err
	}
	sealedAt, err := a.source(fieldSealedPath, v.sealedPath, variableSealed, v.sealed)
	if err != nil {
		return "", err
	}
	keyAt, err := a.source(fieldKeyPath, v.keyPath, variableKey, "")
	if err != nil {
		return "", err
	}
	sealed, err := read(sealedAt, javaobj.ReadSealed)
	if err != nil {
		return "", err
	}
	scheme, err := schemeOf(sealed)
	if err != nil {
		return "", withSource(sealedAt.name, err)
	}
	if a.OnlyAES && scheme.cipher != "AES" {
		return "", fault.New(fault.Unsupported, "%s: it is encrypted with %s, but the class only supports AES", sealedAt.name, scheme.cipher)
	}
	if err := v.checkScheme(scheme); err != nil {
		return "", err
	}
	key, err := read(keyAt, javaobj.ReadKey)
	if err != nil {
		return "", err
	}
	if err := scheme.checkKey(key); err != nil {
		return "", withSource(keyAt.name, err)
	}
	password, err := scheme.open(sealed, key)
	if errors.Is(err, errMismatch) {
		return "", fault.New(fault.Corrupt, "the key does not open the sealed object: are %s and %s a pair?", keyAt.name, sealedAt.name)
	}
	if err != nil {
		return "", withSource(sealedAt.name, err)
	}
	return password, nil
}

// A File is a file that [Algorithm.Open] reads.
type File struct {
	Path     string // with Dir, if it is relative
	Relative bool   // to Dir, in the value or the variable
}

// Files lists the files that Open reads for a value: the key and, unless the value
// contains it, the sealed object.
func (a Algorithm) Files(value string) ([]File, error) {
	v, err := parse(value)
	if err != nil {
		return nil, err
	}
	sealed, err1 := a.source(fieldSealedPath, v.sealedPath, variableSealed, v.sealed)
	key, err2 := a.source(fieldKeyPath, v.keyPath, variableKey, "")
	if err := cmp.Or(err1, err2); err != nil {
		return nil, err
	}
	if sealed.inline != "" {
		return []File{key.file}, nil
	}
	return []File{sealed.file, key.file}, nil
}

// source is the origin of a stream: a file or the value.
type source struct {
	name   string // for messages
	file   File
	inline string // Base64, instead of a file
}

// source returns the source that a member, or its variable, names.
func (a Algorithm) source(field, path, variable, inline string) (source, error) {
	if inline != "" {
		return source{name: fieldSealed, inline: inline}, nil
	}
	origin := field
	if path == "" {
		getenv := a.Getenv
		if getenv == nil {
			getenv = os.Getenv
		}
		if path, origin = getenv(variable), "the variable "+variable; path == "" {
			return source{}, fault.New(fault.Syntax, "field %q is missing, and the environment variable %s, which can replace it, "+
				"is not set for this process", field, variable)
		}
	}
	if err := checkPath(origin, path); err != nil {
		return source{}, err
	}
	file := fileAt(a.Dir, path)
	return source{name: origin + " " + pathLabel(path, file.Path), file: file}, nil
}

// read reads a stream of one class.
func read[T any](from source, parse func([]byte) (T, error)) (T, error) {
	var none T
	stream, err := from.load()
	if err != nil {
		return none, err
	}
	object, err := parse(stream)
	if err != nil {
		return none, withSource(from.name, err)
	}
	return object, nil
}

func (s source) load() ([]byte, error) {
	if s.inline == "" {
		stream, err := secfile.Read(s.file.Path, maxFile)
		if err != nil {
			return nil, withSource(s.name, err)
		}
		return stream, nil
	}
	stream, err := decode(s.inline)
	if err != nil {
		return nil, withSource(s.name, err)
	}
	if len(stream) > maxFile {
		return nil, fault.New(fault.Unsupported, "%s is larger than %d MiB", s.name, maxFile>>20)
	}
	return stream, nil
}

// withSource adds the source of an error to its text.
func withSource(source string, err error) error {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return err
	}
	return fault.New(e.Kind, "%s: %s", source, e.Text).WithCause(err)
}
