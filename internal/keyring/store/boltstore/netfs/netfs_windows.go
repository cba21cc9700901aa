package netfs

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// At describes the network location that path is on, or returns "" if it is on this
// machine.
func At(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	volume := filepath.VolumeName(abs)
	if isNetworkVolume(volume) {
		return "share", nil
	}
	root, err := windows.UTF16PtrFromString(volume + `\`)
	if err != nil {
		return "", err
	}
	if windows.GetDriveType(root) == windows.DRIVE_REMOTE {
		return "network drive", nil
	}
	return "", nil
}
