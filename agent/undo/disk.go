package undo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"squall/agent/host"
)

// Disk is where a journal's files are. The zero value of Options is the real
// one; a test brings one that fails or hangs.
type Disk interface {
	// Folder makes a folder where it is missing.
	Folder(path string) error
	// Open opens a file for reading and writing, and makes it where it is missing.
	Open(path string) (File, error)
	// Room fails where bytes more can't be written beside the journal.
	Room(path string, bytes int) error
	// SyncFolder returns when the names in a folder are durable.
	SyncFolder(path string) error
}

// File is one file of a journal.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Stat() (os.FileInfo, error)
	// Sync returns when what was written is durable.
	Sync() error
}

// realDisk is the host's own.
type realDisk struct{ sync func(*os.File) error }

// realFile is a file of it.
type realFile struct {
	*os.File
	sync func(*os.File) error
}

// Sync implements File.
func (f realFile) Sync() error { return f.sync(f.File) }

// Folder implements Disk.
func (realDisk) Folder(path string) error { return os.MkdirAll(path, 0o700) }

// Open implements Disk.
func (d realDisk) Open(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return realFile{f, d.sync}, nil
}

// plenty is how much free space, in bytes, is room enough for anything.
const plenty = 64 << 20

// Room implements Disk: it tries, unless there is plenty.
func (realDisk) Room(path string, bytes int) error {
	if free, err := host.FreeSpace(filepath.Dir(path)); err == nil && free >= plenty {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("try the disk: %w", err)
	}
	_, err = f.Write(make([]byte, bytes))
	err = errors.Join(err, f.Close(), os.Remove(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write beside the journal: %w", err)
	}
	return nil
}

// SyncFolder implements Disk.
func (realDisk) SyncFolder(path string) error { return host.SyncDir(path) }
