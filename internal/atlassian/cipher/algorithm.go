package cipher

import (
	"cmp"
	"errors"
	"os"

	"github.com/seed74218947/secretref/internal/atlassian/cipher/javaobj"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/secfile"
)

// The environment variables that stand in for a path that a value leaves out.
const (
	variableSealed = "com_atlassian_db_config_password_ciphers_algorithm_javax_crypto_SealedObject"
	variableKey    = "com_atlassian_db_config_password_ciphers_algorithm_javax_crypto_spec_SecretKeySpec"
)

// Algorithm opens the values of AlgorithmSecretStore and AlgorithmCipher. It is
// safe for concurrent use.
type Algorithm struct {
	// Dir is the directory of the configuration file, where relative paths
	// start. Empty: the working directory.
	Dir string

	// Getenv reads the environment. Nil: os.Getenv.
	Getenv func(string) string

	// OnlyAES refuses the other ciphers, as Crowd's AesOnlyAlgorithmCipher does.
	OnlyAES bool
}

// Open returns the password that a value stands for: a JSON object that says
// where the sealed object and its key are, with or without a prefix.
//
// It is fault.Syntax if the value is wrong; fault.NotFound, fault.Denied,
// fault.Unavailable if a file cannot be read; fault.Unsupported if a file holds
// something else, an algorithm that the products do not have or this process
// must not use; and fault.Corrupt if a file is damaged or the two do not belong
// together. The password is a serialized string inside a padded block, so that
// a wrong key practically never opens it.
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
		return "", located(sealedAt.name, err)
	}
	if a.OnlyAES && scheme.cipher != "AES" {
		return "", fault.New(fault.Unsupported, "%s: it is sealed with %s, and the class takes only AES", sealedAt.name, scheme.cipher)
	}
	if err := v.agrees(scheme); err != nil {
		return "", err
	}
	key, err := read(keyAt, javaobj.ReadKey)
	if err != nil {
		return "", err
	}
	if err := scheme.fits(key); err != nil {
		return "", located(keyAt.name, err)
	}
	password, err := scheme.open(sealed, key)
	if errors.Is(err, errPair) {
		return "", fault.New(fault.Corrupt, "the key does not open the sealed object: are %s and %s a pair?", keyAt.name, sealedAt.name)
	}
	if err != nil {
		return "", located(sealedAt.name, err)
	}
	return password, nil
}

// A File is one that [Algorithm.Open] reads.
type File struct {
	Path     string // as it is opened
	Relative bool   // the value, or the variable, names it relative to Dir
}

// Files lists the files that Open would read for a value. The sealed object is
// not among them when it stands in the value.
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

// source is where one of the two streams comes from: a file or the value.
type source struct {
	name   string // for messages
	file   File
	inline string // Base64, in the place of a file
}

// source returns where the stream is that a member, or its variable, leads to.
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
			return source{}, fault.New(fault.Syntax, "field %q is missing, and the environment variable %s, which could stand in for it, "+
				"is not set for this process", field, variable)
		}
	}
	if err := checkPath(origin, path); err != nil {
		return source{}, err
	}
	file := fileAt(a.Dir, path)
	return source{name: origin + " " + shown(path, file.Path), file: file}, nil
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
		return none, located(from.name, err)
	}
	return object, nil
}

func (s source) load() ([]byte, error) {
	if s.inline == "" {
		stream, err := secfile.Read(s.file.Path, maxFile)
		if err != nil {
			return nil, located(s.name, err)
		}
		return stream, nil
	}
	stream, err := decode(s.inline)
	if err != nil {
		return nil, located(s.name, err)
	}
	if len(stream) > maxFile {
		return nil, fault.New(fault.Unsupported, "%s is larger than %d MiB", s.name, maxFile>>20)
	}
	return stream, nil
}

// located puts where it happened before what happened.
func located(where string, err error) error {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return err
	}
	return fault.New(e.Kind, "%s: %s", where, e.Text).WithCause(err)
}
