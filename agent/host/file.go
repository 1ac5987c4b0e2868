package host

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Preallocate reserves size bytes of disk for f and lets it have that length,
// so that later writes inside it need no free space. Where the file system
// can't reserve, it writes zeros after what f holds.
func Preallocate(f *os.File, size int64) error {
	err := eachIntr(func() error { return unix.Fallocate(int(f.Fd()), 0, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		err = writeZeros(f, size)
	}
	return wrap(err, "reserve %d bytes for %s", size, f.Name())
}

// writeZeros fills f from its end up to size.
func writeZeros(f *os.File, size int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, 64<<10)
	for at := info.Size(); at < size; {
		n, err := f.WriteAt(zeros[:min(size-at, int64(len(zeros)))], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

// Datasync returns when f's content is on disk.
func Datasync(f *os.File) error {
	err := eachIntr(func() error { return unix.Fdatasync(int(f.Fd())) })
	return wrap(err, "sync %s", f.Name())
}

// SyncDir returns when the names in a folder are on disk.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return wrap(err, "sync folder")
	}
	return wrap(errors.Join(d.Sync(), d.Close()), "sync folder %s", path)
}

// FreeSpace is how many bytes an ordinary user may still write on path's file
// system. One that was made read-only takes nothing, though files that were open
// before seem to take it (ext4 after an emergency remount): the error is EROFS.
func FreeSpace(path string) (uint64, error) {
	var s unix.Statfs_t
	if err := eachIntr(func() error { return unix.Statfs(path, &s) }); err != nil {
		return 0, wrap(err, "read free space of %s", path)
	}
	if s.Flags&unix.ST_RDONLY != 0 {
		return 0, wrap(unix.EROFS, "read free space of %s", path)
	}
	return s.Bavail * uint64(s.Frsize), nil
}

// InMemory tells whether a folder is on a file system that lives in memory, and
// so can't hang with a disk.
func InMemory(path string) bool {
	var s unix.Statfs_t
	err := eachIntr(func() error { return unix.Statfs(path, &s) })
	return err == nil && (s.Type == unix.TMPFS_MAGIC || s.Type == unix.RAMFS_MAGIC)
}

// eachIntr repeats a system call for as long as signals interrupt it.
func eachIntr(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
