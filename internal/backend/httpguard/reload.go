package httpguard

import (
	"crypto/tls"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// reloader reloads certificates when their files change.
type reloader struct {
	paths    []string
	load     func(*tls.Config) error
	lastRead []fs.FileInfo // of what was read last; nil before the first time
}

// ReloadCertificates makes the pool reload certificates when one of the files, or
// a file in one of the directories, has changed: load puts them into a TLS
// configuration, and the next request uses a new connection with it. If load
// fails, the current certificates stay in use until the files change again.
// ReloadCertificates must be called before the first request. It ignores empty
// paths.
func (p *Pool) ReloadCertificates(load func(*tls.Config) error, paths ...string) {
	paths = slices.DeleteFunc(paths, func(path string) bool { return path == "" })
	if len(paths) > 0 {
		p.files = &reloader{paths: paths, load: load}
	}
}

// reload returns connections with the current certificates, or nil if those of t
// are current.
func (r *reloader) reload(t *connections) *connections {
	now := statAll(r.paths)
	if slices.EqualFunc(now, r.lastRead, sameFile) {
		return nil
	}
	r.lastRead = now
	next := newConnections(t.Clone())
	if next.TLSClientConfig == nil {
		next.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if r.load(next.TLSClientConfig) != nil {
		return nil
	}
	return next
}

// statAll describes the files at and below the paths; a missing file is nil.
func statAll(paths []string) (infos []fs.FileInfo) {
	for _, path := range paths {
		_ = filepath.WalkDir(path, func(path string, _ fs.DirEntry, _ error) error {
			info, err := os.Stat(path) // follows symbolic links
			if err != nil {
				info = nil
			}
			infos = append(infos, info)
			return nil
		})
	}
	return infos
}

func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() &&
		a.Mode() == b.Mode()
}
