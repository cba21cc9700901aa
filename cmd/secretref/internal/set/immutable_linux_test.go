package set

import (
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

func TestReplace_reportsMountPoint(t *testing.T) {
	file, backups := openedFile(t)
	done := make(chan struct{})
	go func() { // its thread and mount namespace end with it
		defer close(done)
		runtime.LockOSThread()
		for _, err := range []error{
			unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS),
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount(file.path, file.path, "", unix.MS_BIND, ""),
		} {
			if err != nil {
				t.Log("skipped:", err)
				return
			}
		}
		assert.ErrorContains(t, checkReplaceable(file.path, filepath.Dir(file.path), file.info),
			"is a mount point")
		_, err := file.replace([]byte(newText), backups, time.Now())
		assert.ErrorContains(t, err, "is a mount point")
	}()
	<-done
}
