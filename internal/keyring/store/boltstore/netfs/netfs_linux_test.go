package netfs

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNameByMagic(t *testing.T) {
	for magic, name := range map[uint32]string{
		0x6969: "NFS", 0x517b: "SMB", 0xff534d42: "SMB", 0xfe534d42: "SMB", 0x5346414f: "AFS",
		0x6b414653: "AFS",
		0x00c36400: "Ceph", 0x0bd00bd0: "Lustre", 0x47504653: "GPFS", 0x19830326: "BeeGFS",
	} {
		assert.Equal(t, name, nameByMagic(magic))
	}
	for _, magic := range []uint32{
		0xef53, 0x58465342, 0x9123683e, 0x01021994, 0xf2f52010, // ext4, XFS, Btrfs, tmpfs, F2FS
		0x01021997, 0x65735546, 0x794c7630, 0, // 9P, FUSE, overlayfs
	} {
		assert.Empty(t, nameByMagic(magic))
	}
	name, err := At(t.TempDir())
	require.NoError(t, err)
	assert.Empty(t, name, "this test needs a local file system")
}
