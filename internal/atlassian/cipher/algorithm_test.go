package cipher_test

import (
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/cipher"
	"github.com/seed74218947/secretref/internal/atlassian/cipher/javaobj"
	"github.com/seed74218947/secretref/internal/atlassian/cipher/javaobj/javaobjtest"
	"github.com/seed74218947/secretref/internal/fault"
)

func TestAlgorithmUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, size int64) {
		f, err := os.Create(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NoError(t, f.Truncate(size))
		require.NoError(t, f.Close())
	}
	write("large.ser", 1<<20+1)
	write("just-right.ser", 1<<20)
	write("empty.ser", 0)
	write("denied.ser", 1)
	require.NoError(t, os.Chmod(filepath.Join(dir, "denied.ser"), 0))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "directory.ser"), 0o700))
	for name, kind := range map[string]error{
		"missing.ser": fault.NotFound, "empty.ser/missing": fault.NotFound,
		"directory.ser": fault.Unsupported, "large.ser": fault.Unsupported,
		"just-right.ser": fault.Corrupt, "empty.ser": fault.Corrupt, "denied.ser": fault.Denied,
	} {
		if name == "denied.ser" && (os.Getuid() == 0 || runtime.GOOS == "windows") ||
			name == "empty.ser/missing" && runtime.GOOS == "windows" {
			continue
		}
		for _, value := range []string{
			object(t, "sealedObjectFilePath", name, "keyFilePath", "missing.ser"),
			object(t, "serializedSealedObject", inlineObject(t), "keyFilePath", name),
			object(t, "serializedSealedObject", inlineObject(t), "keyFilePath", filepath.Join(dir, name)),
		} {
			_, err := cipher.Algorithm{Dir: dir}.Open(value)
			require.ErrorIs(t, err, kind, name)
			require.ErrorContains(t, err, filepath.Join(dir, name))
			require.Equal(t, kind == fault.NotFound, errorIs(err, fs.ErrNotExist))
			require.Equal(t, kind == fault.Denied, errorIs(err, fs.ErrPermission))
		}
	}
}

func inlineObject(t testing.TB) string {
	return base64.StdEncoding.EncodeToString(javaobjtest.Sealed(encrypt(t, cbc, key16,
		javaobjtest.String("secret"))))
}

func TestAlgorithmEnvironment(t *testing.T) {
	const objectVariable = "com_atlassian_db_config_password_ciphers_algorithm_javax_crypto_SealedObject"
	const keyVariable = "com_atlassian_db_config_password_ciphers_algorithm_javax_crypto_spec_SecretKeySpec"
	dir := t.TempDir()
	require.NoError(t,
		os.WriteFile(filepath.Join(dir, "o.ser"),
			javaobjtest.Sealed(encrypt(t, cbc, key16, javaobjtest.String("secret"))), 0o600))
	require.NoError(t,
		os.WriteFile(filepath.Join(dir, "k.ser"),
			javaobjtest.Key(javaobj.Key{Algorithm: "AES", Encoded: key16}), 0o600))
	both := map[string]string{objectVariable: filepath.Join(dir, "o.ser"), keyVariable: "k.ser"}

	open := func(env map[string]string, value string) (string, error) {
		return cipher.Algorithm{Dir: dir,
			Getenv: func(name string) string { return env[name] }}.Open(value)
	}
	for _, value := range []string{"{}", " { } ", "{ENC}{}", `{"algorithm":"AES/CBC/PKCS5PADDING"}`,
		`{"keyFilePath":"k.ser"}`, `{"sealedObjectFilePath":"./o.ser"}`,
		object(t, "serializedSealedObject", inlineObject(t))} {
		got, err := open(both, value)
		require.NoError(t, err, value)
		require.Equal(t, "secret", got)
	}
	t.Run("the value comes first", func(t *testing.T) {
		_, err := open(both, `{"keyFilePath":"other.ser"}`)
		require.ErrorIs(t, err, fault.NotFound)
	})
	t.Run("not set", func(t *testing.T) {
		_, err := open(nil, "{}")
		require.ErrorIs(t, err, fault.Syntax)
		require.ErrorContains(t, err, objectVariable)
		require.ErrorContains(t, err, "sealedObjectFilePath")
		_, err = open(map[string]string{objectVariable: "o.ser"}, "{}")
		require.ErrorIs(t, err, fault.Syntax)
		require.ErrorContains(t, err, keyVariable)
		require.ErrorContains(t, err, "keyFilePath")
	})
	t.Run("the process's own", func(t *testing.T) {
		t.Setenv(objectVariable, "o.ser")
		t.Setenv(keyVariable, "k.ser")
		got, err := cipher.Algorithm{Dir: dir}.Open("{}")
		require.NoError(t, err)
		require.Equal(t, "secret", got)
	})
	t.Run("a missing file is named with its variable", func(t *testing.T) {
		_, err := open(map[string]string{objectVariable: "o.ser", keyVariable: "gone.ser"}, "{}")
		require.ErrorIs(t, err, fault.NotFound)
		require.ErrorContains(t, err, keyVariable)
		require.ErrorContains(t, err, "gone.ser")
	})
	t.Run("what is not a path is not shown", func(t *testing.T) {
		for _, secret := range []string{"c2l4dGVlbiBieXRlcyAxNg==", "OCBieXRlcyE=",
			"73697874656e20627974", inlineObject(t), strings.Repeat("x/", 600), "a\nb"} {
			for _, env := range []map[string]string{{objectVariable: "o.ser", keyVariable: secret},
				{objectVariable: secret, keyVariable: "k.ser"}} {
				_, err := open(env, "{}")
				require.Error(t, err)
				require.NotContains(t, err.Error(), secret)
			}
		}
	})
}
