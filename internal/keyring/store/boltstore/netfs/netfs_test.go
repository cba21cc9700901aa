package netfs

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestIsNetworkName(t *testing.T) {
	for _, name := range []string{"nfs", "smbfs", "afpfs", "webdav", "CIFS"} {
		assert.True(t, isNetworkName(name), name)
	}
	for _, name := range []string{"apfs", "hfs", "ext4", "tmpfs", "msdos", "osxfuse", "macfuse", "9p",
		"overlay", ""} {
		assert.False(t, isNetworkName(name), name)
	}
	for _, volume := range []string{`\\server\share`, `//server/share`, `\\?\UNC\server\share`,
		`\\?\unc\server\share`} {
		assert.True(t, isNetworkVolume(volume), volume)
	}
	for _, volume := range []string{`C:`, `\\?\C:`, `\\.\C:`,
		`\\?\Volume{b75e2c83-0000-0000-0000-602f00000000}`, ""} {
		assert.False(t, isNetworkVolume(volume), volume)
	}
}
