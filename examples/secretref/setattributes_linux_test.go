package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestExtendedAttributesStay(t *testing.T) {
	file, backups := openedFile(t)
	if err := unix.Setxattr(file.path, "user.note", []byte("theirs"), 0); err != nil {
		t.Skip(err)
	}
	_, lost, err := file.replace([]byte(newText), backups, time.Now())
	require.NoError(t, err)
	assert.Empty(t, lost)
	value := make([]byte, 16)
	n, err := unix.Getxattr(file.path, "user.note", value)
	require.NoError(t, err)
	assert.Equal(t, "theirs", string(value[:n]))
}
