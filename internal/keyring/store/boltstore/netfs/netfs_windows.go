package netfs

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// At returns what path is on if that is another machine, and otherwise "".
func At(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	volume := filepath.VolumeName(abs)
	if byVolume(volume) {
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
