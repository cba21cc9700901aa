// Package netfs recognises network file systems, where what one machine locks
// and writes another may not see.
package netfs

import "strings"

// byName knows file systems by the names that operating systems give them.
func byName(name string) bool {
	switch strings.ToLower(name) {
	case "nfs", "nfs4", "smbfs", "cifs", "afpfs", "afs", "webdav", "ftp", "ncpfs", "coda", "lustre", "gpfs", "ceph", "acfs":
		return true
	}
	return false
}

// byVolume reports whether the volume of a Windows path is a share:
// \\server\share or \\?\UNC\server\share, but not \\?\C: or \\.\device.
func byVolume(volume string) bool {
	rest, ok := strings.CutPrefix(strings.ReplaceAll(volume, "/", `\`), `\\`)
	if !ok {
		return false
	}
	if device, ok := strings.CutPrefix(rest, `?\`); ok {
		return strings.HasPrefix(strings.ToUpper(device), `UNC\`)
	}
	return !strings.HasPrefix(rest, `.\`)
}
