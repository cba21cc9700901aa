//go:build unix

package secfile

import (
	"io/fs"
	"syscall"
)

// owner returns the user id of the owner of a file.
func owner(info fs.FileInfo) (uid int, known bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}
