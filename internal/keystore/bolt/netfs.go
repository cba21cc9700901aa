package bolt

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

// use refuses network file systems, once: what is locked and written there by
// one machine another may not see.
func (s *Store) use(path string) error {
	if s.usable.Load() {
		return nil
	}
	network, err := networkAt(path)
	if errors.Is(err, fs.ErrNotExist) {
		network, err = networkAt(filepath.Dir(path))
	}
	switch {
	case network != "":
		return fault.New(fault.Unsupported, "%q is on a network file system (%s), whose locks do not reach other machines reliably: put it on a disk of this machine, or use SQLStore", path, network)
	case err == nil:
		s.usable.Store(true)
	}
	return nil // whoever opens the file will see the error, too
}

// networkNames are the file systems that systems name, which are reached
// through a network.
func networkName(name string) bool {
	switch strings.ToLower(name) {
	case "nfs", "nfs4", "smbfs", "cifs", "afpfs", "afs", "webdav", "ftp", "ncpfs", "coda", "lustre", "gpfs", "ceph", "acfs":
		return true
	}
	return false
}

// networkVolume reports whether the volume of a Windows path is a share:
// \\server\share or \\?\UNC\server\share, but not \\?\C: or \\.\device.
func networkVolume(volume string) bool {
	rest, ok := strings.CutPrefix(strings.ReplaceAll(volume, "/", `\`), `\\`)
	if !ok {
		return false
	}
	if device, ok := strings.CutPrefix(rest, `?\`); ok {
		return strings.HasPrefix(strings.ToUpper(device), `UNC\`)
	}
	return !strings.HasPrefix(rest, `.\`)
}
