//go:build unix

package ui

import (
	"io/fs"
	"os/user"
	"strconv"
	"syscall"
)

// OwnerName returns the name of a file's owner.
func OwnerName(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "unknown"
	}
	uid := strconv.FormatUint(uint64(stat.Uid), 10)
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return "uid " + uid
}
