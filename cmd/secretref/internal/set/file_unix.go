//go:build unix

package set

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

// lockFile locks a file against other runs of the command until release is called. It
// is not locked if the file system has no locks.
func lockFile(path string) (release func(), locked bool, err error) {
	f, err := openToLock(path)
	if err != nil {
		return nil, false, err
	}
	if locked, err = tryLock(f); err != nil {
		_ = f.Close()
		return nil, false, err
	}
	// The previous holder of the lock may have replaced the file.
	held, err := f.Stat()
	if err == nil {
		var now fs.FileInfo
		if now, err = os.Stat(path); err == nil && !os.SameFile(held, now) {
			err = errors.New("another process has just replaced it: run this command again")
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, false, err
	}
	return func() { _ = f.Close() }, locked, nil
}

// openToLock opens a file for writing if possible: NFS requires that for a lock.
func openToLock(path string) (*os.File, error) {
	if f, err := os.OpenFile(path, os.O_RDWR, 0); err == nil {
		return f, nil
	}
	return os.Open(path)
}

// copyOwner gives f the owner and group of another file.
func copyOwner(f *os.File, of fs.FileInfo) error {
	want, ok := of.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if have, ok := info.Sys().(*syscall.Stat_t); ok && have.Uid == want.Uid &&
		have.Gid == want.Gid {
		return nil
	}
	if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
		return fmt.Errorf("%s: %w", explainOwnerError(os.Geteuid(), of, want.Gid), err)
	}
	return nil
}

// explainOwnerError explains why a process with a uid cannot preserve the owner and
// group of a file.
func explainOwnerError(uid int, of fs.FileInfo, gid uint32) string {
	if stat, ok := of.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != uid {
		return fmt.Sprintf("the file belongs to %s, and only that user or root can preserve its "+
			"owner: run as one of them", ui.OwnerName(of))
	}
	return fmt.Sprintf("the file's group is %d, and only its members or root can preserve it: "+
		"run as root, or make %s a member", gid, ui.OwnerName(of))
}

func copyMode(f *os.File, of fs.FileInfo) error {
	return f.Chmod(of.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky))
}

// linkCount returns the number of hard links to a file.
func linkCount(info fs.FileInfo) uint64 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 1
	}
	return uint64(stat.Nlink)
}

// checkReplaceable returns the error that replacing a file would have, without changing
// anything.
func checkReplaceable(path, dir string, info fs.FileInfo) error {
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return explainDirError(dir, &fs.PathError{Op: "access", Path: dir, Err: err})
	}
	in, err := os.Stat(dir)
	if err != nil {
		return err
	}
	groups, err := os.Getgroups()
	if err != nil {
		return err
	}
	if err := checkOwner(os.Geteuid(), append(groups, os.Getegid()), info, in); err != nil {
		return err
	}
	file, ok1 := info.Sys().(*syscall.Stat_t)
	beside, ok2 := in.Sys().(*syscall.Stat_t)
	if ok1 && ok2 && file.Dev != beside.Dev {
		return explainReplaceError(path, syscall.EBUSY)
	}
	return checkNotImmutable(path, dir)
}

// checkOwner returns an error if a process with a uid and groups could not preserve the
// owner and group of a file in a directory.
func checkOwner(uid int, gids []int, file, dir fs.FileInfo) error {
	want, ok1 := file.Sys().(*syscall.Stat_t)
	in, ok2 := dir.Sys().(*syscall.Stat_t)
	if !ok1 || !ok2 || uid == 0 {
		return nil
	}
	// New files get the directory's group if it has the setgid bit, and on BSD always.
	inherits := in.Gid == want.Gid && (dir.Mode()&fs.ModeSetgid != 0 || runtime.GOOS != "linux")
	if int(want.Uid) != uid || !inherits && !slices.Contains(gids, int(want.Gid)) {
		return errors.New(explainOwnerError(uid, file, want.Gid))
	}
	return nil
}

// withHangup cancels ctx on SIGHUP too, unless that is ignored, as under nohup. A
// second hangup, which often follows, has no further effect.
func withHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	if signal.Ignored(syscall.SIGHUP) {
		return context.WithCancel(ctx)
	}
	return signal.NotifyContext(ctx, syscall.SIGHUP)
}
