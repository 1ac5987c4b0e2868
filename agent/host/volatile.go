package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Spared is the folder of ours below /run, which lives on when the host's
// volatile folders are emptied.
const Spared = "/run/squall"

// emptying is what an emptying leaves alone: files by their device and number,
// since a path may have other names.
type emptying struct{ spared map[[2]uint64]bool }

// sparing leaves alone what lies at these paths, and what is below.
func sparing(paths []string) emptying {
	e := emptying{map[[2]uint64]bool{}}
	for _, path := range paths {
		var st unix.Stat_t
		if path != "" && unix.Stat(path, &st) == nil {
			e.spared[[2]uint64{st.Dev, st.Ino}] = true
		}
	}
	return e
}

// volatile empties folders that live in memory, past errors. What is no tmpfs is
// refused whole: a power cut would not have emptied it either.
func (e emptying) volatile(dirs []string) error {
	var errs []error
	for _, dir := range dirs {
		if err := e.tmpfs(dir); err != nil {
			errs = append(errs, fmt.Errorf("empty %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

func (e emptying) tmpfs(dir string) error {
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return err
	}
	if fs.Type != unix.TMPFS_MAGIC {
		return errors.New("it is not a tmpfs, and what lies on a disk outlives a power cut")
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if e.spared[[2]uint64{st.Dev, st.Ino}] {
		return errors.New("it is the agent's own folder")
	}
	_, err = e.dir(dir, st.Dev)
	return err
}

// dir removes what is in a folder, and tells whether all is gone. What is
// mounted below it is another file system, and stays.
func (e emptying) dir(dir string, device uint64) (empty bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	empty = true
	var errs []error
	for _, entry := range entries {
		gone, err := e.remove(filepath.Join(dir, entry.Name()), device)
		empty = empty && gone
		errs = append(errs, err)
	}
	return empty, errors.Join(errs...)
}

func (e emptying) remove(path string, device uint64) (gone bool, err error) {
	var st unix.Stat_t
	switch err := unix.Lstat(path, &st); {
	case errors.Is(err, unix.ENOENT):
		return true, nil
	case err != nil:
		return false, err
	case st.Dev != device || e.spared[[2]uint64{st.Dev, st.Ino}]:
		return false, nil
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		if empty, err := e.dir(path, device); !empty || err != nil {
			return false, err
		}
	}
	err = os.Remove(path)
	if errors.Is(err, unix.EBUSY) { // a file that something is mounted on
		return false, nil
	}
	return err == nil, err
}
