package undo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	pb "squall/proto/squall/v1"
)

// The mirror is one file on a file system in memory, which outlives the agent's
// processes and needs no disk:
//
//	magic 8 | whole 1 | padding 7 | frames
//
// The first frame names the boot. Whole says that nothing the journal knows is
// missing, so that one can go by the mirror alone. Every owner writes a file of
// its own and renames it into place: a write that a killed process still has
// under way goes to a file that nobody reads.
const (
	mirrorMagic = "squallM1"
	mirrorHead  = 16
	wholeAt     = 8
	// mirrorGrowth is how far the file grows before it is written anew.
	mirrorGrowth = 1 << 20
)

// mirror is the mirror of one journal. The zero value of path is none.
type mirror struct {
	path, bootID string

	mu    sync.Mutex // guards all below, and orders the writes
	file  *os.File
	end   int64
	limit int64
	whole bool
	// failed is why the file lacks something; nil while it doesn't.
	failed error
	// outdated says that the earlier owner's file stands for nothing any more.
	outdated bool
}

// read reads what an earlier owner left. It is whole when it can stand for the
// journal.
func (m *mirror) read() (records []*pb.Record, whole bool) {
	if m.path == "" {
		return nil, false
	}
	b, err := os.ReadFile(m.path)
	if err != nil || len(b) < mirrorHead || string(b[:wholeAt]) != mirrorMagic {
		return nil, false
	}
	f := decodeFrames(b[mirrorHead:], 0)
	if len(f.records) == 0 {
		return nil, false
	}
	// A frame that is torn at the end was never acknowledged.
	boot := f.records[0].GetBootId()
	return f.records[1:], b[wholeAt] == 1 && f.gaps == 0 && boot == m.bootID
}

// begin writes a file of its own in place of the earlier owner's. From then on
// the mirror is whole.
func (m *mirror) begin(all func() []*pb.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.path == "" {
		return nil
	}
	m.removeHalf()
	m.whole = true
	return m.rewrite(all())
}

// removeHalf removes what owners left who were killed before their file was in
// place. Nobody reads it, and it takes memory until the next boot.
func (m *mirror) removeHalf() {
	left, _ := filepath.Glob(m.path + ".*") // a path with a pattern in it finds nothing
	for _, path := range left {
		_ = os.Remove(path)
	}
}

// append adds a record; all is asked for everything when the file is to be
// written anew. When it returns, the record outlives this process.
func (m *mirror) append(r *pb.Record, all func() []*pb.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.path == "" {
		return nil
	}
	if m.file == nil || m.failed != nil || m.end > m.limit {
		return m.rewrite(all())
	}
	b, err := appendFrame(nil, 0, r)
	if err != nil {
		return err
	}
	if _, err := m.file.WriteAt(b, m.end); err != nil {
		return m.fail(err)
	}
	m.end += int64(len(b))
	return nil
}

// fail says in the file that it lacks something: that needs no room.
func (m *mirror) fail(err error) error {
	if m.file != nil {
		_, marked := m.file.WriteAt([]byte{0}, wholeAt)
		err = errors.Join(err, marked)
	}
	m.failed = fmt.Errorf("write mirror: %w", err)
	return m.failed
}

// rewrite writes everything into a new file and puts it into place.
func (m *mirror) rewrite(records []*pb.Record) error {
	b := make([]byte, mirrorHead)
	copy(b, mirrorMagic)
	if m.whole {
		b[wholeAt] = 1
	}
	b, err := appendFrames(b, 0, append([]*pb.Record{{BootId: m.bootID}}, records...))
	if err != nil {
		return m.fail(err)
	}
	f, err := m.place(b)
	if err != nil {
		return m.fail(err)
	}
	if m.file != nil {
		m.file.Close()
	}
	m.file, m.end, m.limit, m.failed = f, int64(len(b)), int64(len(b))+mirrorGrowth, nil
	return nil
}

// place puts a new file with these bytes at the mirror's path.
func (m *mirror) place(b []byte) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(m.path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(m.path), filepath.Base(m.path)+".*")
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteAt(b, 0); err == nil {
		err = os.Rename(f.Name(), m.path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

// outdate says in an earlier owner's file that could not be replaced that the disk
// has more; that needs no room. It is for when the disk has everything.
func (m *mirror) outdate() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.path == "" || m.file != nil || m.failed == nil || m.outdated {
		return
	}
	f, err := os.OpenFile(m.path, os.O_WRONLY, 0)
	if err != nil {
		return // there is none
	}
	_, err = f.WriteAt([]byte{0}, wholeAt)
	m.outdated = errors.Join(err, f.Close()) == nil
}

// stands says that there is a mirror, and that it lacks nothing.
func (m *mirror) stands() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.file != nil && m.failed == nil
}

func (m *mirror) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.file
	m.file, m.path = nil, "" // the next owner's is not to be replaced by a late one
	if f == nil {
		return nil
	}
	return f.Close()
}
