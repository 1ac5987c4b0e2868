package archive

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// disk is what the archive changes of a file system, so that a test can end the
// world at each of its steps.
type disk interface {
	create(path string) (file, error)
	rename(from, to string) error
	// remove is no error where there is no such file.
	remove(path string) error
	// syncDir makes what was renamed and removed in a folder last.
	syncDir(path string) error
}

type file interface {
	io.WriteCloser
	Sync() error
}

type osDisk struct{}

func (osDisk) create(path string) (file, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
}

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }

func (osDisk) remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (osDisk) syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
