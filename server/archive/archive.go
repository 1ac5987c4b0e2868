// Package archive keeps what finished runs leave: definition, plan, events and
// windows, in a folder on each server, outside the replicated state.
//
// A file is one run. It is written beside its place, synced and renamed, so that
// a crash leaves the whole of it or nothing; it says by itself what is in it, and
// its digest stands for every byte. What is damaged or foreign is named and
// never taken for a run. DESIGN.md has the format.
package archive

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	pb "squall/proto/squall/v1"
)

// Errors that callers tell apart.
var (
	// ErrUnknown: the archive has no such run.
	ErrUnknown = errors.New("it is not in this archive")
	// ErrDamaged: a file is not what its seal or its digest says.
	ErrDamaged = errors.New("damaged")
	// ErrDisk: the disk takes nothing, since it is full, broken or read-only.
	ErrDisk = errors.New("the disk takes nothing")
	// ErrDiffers: another record of the same run is kept already.
	ErrDiffers = errors.New("another record of this run is kept")
)

// Entry is a run of the archive, as its seal tells it.
type Entry struct {
	Seal *pb.Seal
	// Digest is the SHA-256 of the seal's bytes. It stands for the whole file.
	Digest []byte
	// Bytes is the size of the file.
	Bytes int64
	// File is its name in the folder.
	File string
}

// Run is the run's id.
func (e Entry) Run() string { return e.Seal.GetSummary().GetId() }

// Done is when the run was done, in cluster time.
func (e Entry) Done() time.Time { return time.Unix(0, e.Seal.GetDoneUnixNanos()).UTC() }

// Stranger is a file in the folder that is no run of this archive.
type Stranger struct {
	File string
	// Err says why: it is damaged, or none of ours.
	Err error
}

// stranger is why a file is no run, and what the file was when that was found.
type stranger struct {
	err error
	was stamp
}

// stamp is how a file looks without reading it; zero where it can't be seen.
type stamp struct {
	bytes   int64
	changed time.Time
}

func stampOf(info fs.FileInfo, err error) stamp {
	if err != nil {
		return stamp{}
	}
	return stamp{info.Size(), info.ModTime()}
}

// Archive is the folder of one server. It is safe for concurrent use.
type Archive struct {
	dir  string
	disk disk

	put, taken slot

	placing sync.Mutex // held while a file gets its place, or leaves it

	mu        sync.Mutex // guards what follows
	entries   map[string]Entry
	strangers map[string]stranger // by file
}

// slot is where one file at a time is written, beside the places of runs. Nobody
// who asks for the archive waits for it: what comes from another server may take
// minutes.
type slot struct {
	sync.Mutex // held while its file is written
	file       string
}

// New is the archive of a folder of which nothing is known before the first Rescan.
func New(dir string) *Archive { return on(dir, osDisk{}) }

func on(dir string, d disk) *Archive {
	return &Archive{
		dir: dir, disk: d, put: slot{file: unfinished + "run"}, taken: slot{file: unfinished + "taken"},
		entries: make(map[string]Entry), strangers: make(map[string]stranger),
	}
}

// Open reads what is in a folder, which it makes where it is missing, and sweeps
// what a crash left half written. It reads no events and no windows. Files that
// are damaged or foreign are no error: Strangers names them.
func Open(dir string) (*Archive, error) { return open(dir, osDisk{}) }

func open(dir string, d disk) (*Archive, error) {
	a := on(dir, d)
	if err := a.Rescan(); err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	return a, nil
}

// Rescan looks at the folder again, as Open does: what somebody has put there,
// taken away or cut since is known then.
func (a *Archive) Rescan() error {
	a.placing.Lock()
	defer a.placing.Unlock()
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return err
	}
	files, err := os.ReadDir(a.dir)
	if err != nil {
		return err
	}
	known := a.recall(files)
	for _, f := range files {
		if known[f.Name()] {
			continue
		}
		if err := a.meet(f); err != nil {
			return err
		}
	}
	return nil
}

// recall drops what is known of files that are not there any more, or not as
// they were, and names those of which it is known what they are.
func (a *Archive) recall(files []os.DirEntry) (known map[string]bool) {
	now := make(map[string]stamp, len(files))
	for _, f := range files {
		now[f.Name()] = stampOf(f.Info())
	}
	known = make(map[string]bool, len(files))
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.entries, func(_ string, e Entry) bool {
		known[e.File] = now[e.File].bytes == e.Bytes
		return !known[e.File]
	})
	maps.DeleteFunc(a.strangers, func(file string, s stranger) bool {
		known[file] = known[file] || s.was != stamp{} && now[file] == s.was
		return !known[file]
	})
	return known
}

// meet takes up one file of the folder.
func (a *Archive) meet(f os.DirEntry) error {
	if strings.HasPrefix(f.Name(), unfinished) && f.Type().IsRegular() {
		return a.sweep(f.Name())
	}
	e, err := a.index(f)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, twice := a.entries[e.Run()]; err == nil && twice {
		err = fmt.Errorf("%w: in %s", ErrDiffers, known.File)
	}
	if err != nil {
		a.strangers[f.Name()] = stranger{err, stampOf(f.Info())}
		return nil
	}
	a.entries[e.Run()] = e
	return nil
}

// sweep removes a file that was not written to its end, unless it is being written.
func (a *Archive) sweep(file string) error {
	for _, s := range []*slot{&a.put, &a.taken} {
		if s.file != file {
			continue
		}
		if !s.TryLock() {
			return nil
		}
		defer s.Unlock()
	}
	return a.disk.remove(a.path(file))
}

func (a *Archive) index(f os.DirEntry) (Entry, error) {
	if !f.Type().IsRegular() || !ours(f.Name()) {
		return Entry{}, errors.New("no file of the archive")
	}
	e, err := readEntry(filepath.Join(a.dir, f.Name()))
	if err == nil && fileOf(e.Seal) != f.Name() {
		err = fmt.Errorf("%w: it holds run %q, which belongs in %s", ErrDamaged, e.Run(), fileOf(e.Seal))
	}
	return e, err
}

// Entries are all runs that are kept, oldest first.
func (a *Archive) Entries() []Entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.SortedFunc(maps.Values(a.entries), func(x, y Entry) int { return cmp.Compare(x.File, y.File) })
}

// Entry is a run that is kept. Errors: ErrUnknown.
func (a *Archive) Entry(run string) (Entry, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, ok := a.entries[run]
	if !ok {
		return Entry{}, fmt.Errorf("find run %q: %w", run, ErrUnknown)
	}
	return e, nil
}

// Strangers are the files in the folder that are no runs, by name.
func (a *Archive) Strangers() []Stranger {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Stranger
	for _, file := range slices.Sorted(maps.Keys(a.strangers)) {
		out = append(out, Stranger{file, a.strangers[file].err})
	}
	return out
}

// Size is how many runs there are, how much they take together, and how many
// strangers there are.
func (a *Archive) Size() (runs int, bytes int64, strangers int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.entries {
		bytes += e.Bytes
	}
	return len(a.entries), bytes, len(a.strangers)
}

// Remove takes a run out. One that is not there is no error.
func (a *Archive) Remove(run string) error {
	a.placing.Lock()
	defer a.placing.Unlock()
	e, err := a.Entry(run)
	if err != nil {
		return nil // it is gone already
	}
	if err := a.disk.remove(a.path(e.File)); err != nil {
		return fmt.Errorf("remove run %q: %w", run, err)
	}
	a.mu.Lock()
	delete(a.entries, run)
	a.mu.Unlock()
	if err := a.disk.syncDir(a.dir); err != nil {
		return fmt.Errorf("remove run %q: %w", run, err)
	}
	return nil
}

func (a *Archive) path(file string) string { return filepath.Join(a.dir, file) }

// accuse notes that a run's file is not what it should be, or not there: it is no
// run of the archive any more. It returns the error to tell.
func (a *Archive) accuse(e Entry, err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	missing := errors.Is(err, fs.ErrNotExist)
	if a.entries[e.Run()].File != e.File || !missing && !errors.Is(err, ErrDamaged) {
		return err
	}
	delete(a.entries, e.Run())
	if missing {
		return fmt.Errorf("%w any more: %w", ErrUnknown, err)
	}
	a.strangers[e.File] = stranger{err, stampOf(os.Stat(a.path(e.File)))}
	return err
}

// short is the beginning of a digest, as people see it.
func short(digest []byte) string { return hex.EncodeToString(digest[:min(6, len(digest))]) }
