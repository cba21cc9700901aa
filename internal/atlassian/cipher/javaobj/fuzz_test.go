package javaobj_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/cipher/javaobj"
	"github.com/seed74218947/secretref/internal/atlassian/cipher/javaobj/javaobjtest"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/test/vectors"
)

// FuzzRead checks on any bytes that a stream has at most one class, that its contents
// survive being written and read again, that no prefix of a stream is a stream, and
// that no result is larger than the stream.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(vectors.SealedDir(f), "*.Se*"))
	require.NoError(f, err)
	for _, path := range files {
		stream, err := os.ReadFile(path)
		require.NoError(f, err)
		if len(stream) < 4096 {
			f.Add(stream)
		}
	}
	for _, s := range []string{"", "secret", "x\x00ä€😀"} {
		f.Add(javaobjtest.String(s))
	}
	f.Add(javaobjtest.Units([]uint16{0xd83d, 'x', 0xde00}))
	f.Add(javaobjtest.Sealed(javaobj.Sealed{EncryptedContent: []byte{}, SealAlg: "AES"}))
	f.Fuzz(func(t *testing.T, stream []byte) {
		readable := 0
		if k, err := javaobj.ReadKey(stream); accepted(t, err) {
			readable++
			require.LessOrEqual(t, len(k.Algorithm)+len(k.Encoded), len(stream))
			again, err := javaobj.ReadKey(javaobjtest.Key(k))
			require.NoError(t, err)
			require.Equal(t, k.Algorithm, again.Algorithm)
			require.Equal(t, k.Encoded, again.Encoded)
		}
		if s, err := javaobj.ReadSealed(stream); accepted(t, err) {
			readable++
			require.LessOrEqual(t, len(s.EncodedParams), len(stream))
			require.LessOrEqual(t, len(s.EncryptedContent), len(stream))
			if s.EncodedParams != nil && s.ParamsAlg != "" { // javaobjtest writes an empty name as null
				again, err := javaobj.ReadSealed(javaobjtest.Sealed(s))
				require.NoError(t, err)
				require.Equal(t, s, again)
			}
		}
		if s, err := javaobj.ReadString(stream); accepted(t, err) {
			readable++
			require.LessOrEqual(t, len(s), len(stream))
			again, err := javaobj.ReadString(javaobjtest.String(s))
			require.NoError(t, err)
			require.Equal(t, s, again)
		}
		require.LessOrEqual(t, readable, 1)
		if readable == 0 || len(stream) > 2048 {
			return
		}
		for n := range stream {
			part := string(stream[:n])
			for _, err := range []error{readKey(part), readSealed(part), readString(part)} {
				require.False(t, accepted(t, err))
			}
		}
	})
}

// FuzzStrings writes and reads any UTF-16.
func FuzzStrings(f *testing.F) {
	f.Add([]byte("\x00s\x00e\x00c\x00r\x00e\x00t"), uint16(0), byte(1))
	f.Add([]byte("\x00\x00\xd8\x3d\xde\x00\x07\xff\x08\x00"), uint16(9), byte(0x80))
	f.Add([]byte("\xde\x00\xd8\x3d"), uint16(7), byte(0x08))
	f.Fuzz(func(t *testing.T, text []byte, at uint16, flip byte) {
		units := make([]uint16, len(text)/2)
		for i := range units {
			units[i] = binary.BigEndian.Uint16(text[2*i:])
		}
		stream := javaobjtest.Units(units)
		got, err := javaobj.ReadString(stream)
		want := string(utf16.Decode(units))
		if !slices.Equal(units, utf16.Encode([]rune(want))) { // an unpaired surrogate
			require.ErrorIs(t, err, javaobj.ErrSurrogate)
			require.Empty(t, got)
			return
		}
		require.NoError(t, err)
		require.Equal(t, want, got)

		stream[int(at)%len(stream)] ^= flip
		changed, err := javaobj.ReadString(stream)
		if accepted(t, err) && flip != 0 {
			require.NotEqual(t, want, changed)
		}
	})
}

// accepted reports whether there is no error, and fails for an error of another kind.
func accepted(t *testing.T, err error) bool {
	if err == nil {
		return true
	}
	require.NotEqual(t, errors.Is(err, fault.Corrupt), errors.Is(err, fault.Unsupported), "%v", err)
	return false
}
