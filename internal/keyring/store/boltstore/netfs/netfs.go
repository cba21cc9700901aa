// Package netfs recognizes network file systems, where a machine may not see the locks
// and writes of another one.
package netfs

import "strings"

// isNetworkName reports whether the name that an operating system has for a file system
// is that of a network file system.
func isNetworkName(name string) bool {
	switch strings.ToLower(name) {
	case "nfs", "nfs4", "smbfs", "cifs", "afpfs", "afs", "webdav", "ftp", "ncpfs", "coda", "lustre",
		"gpfs", "ceph", "acfs":
		return true
	}
	return false
}

// isNetworkVolume reports whether the volume of a Windows path is a share:
// \\server\share or \\?\UNC\server\share, but not \\?\C: or \\.\device.
func isNetworkVolume(volume string) bool {
	rest, ok := strings.CutPrefix(strings.ReplaceAll(volume, "/", `\`), `\\`)
	if !ok {
		return false
	}
	if device, ok := strings.CutPrefix(rest, `?\`); ok {
		return strings.HasPrefix(strings.ToUpper(device), `UNC\`)
	}
	return !strings.HasPrefix(rest, `.\`)
}
