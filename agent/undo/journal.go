package undo

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	pb "squall/proto/squall/v1"
)

// Sizes of the journal. A slot takes a few thousand steps; the reserve is kept
// for the marks that end what is under way.
const (
	DefaultSize = 4 << 20
	reserve     = 256 << 10
	perStep     = 4 << 10
	diskProbe   = 64 << 10
)

// Options configure a journal. The zero value is ready for use.
type Options struct {
	// BootID names this boot; records of another one speak of a kernel that is gone.
	BootID string
	// Size is that of each of the two files, in bytes; 0 is DefaultSize.
	Size int
	// Sync makes a file's bytes durable; nil is (*os.File).Sync.
	Sync func(*os.File) error
	// Hook is called by name around each durable write and each operation, for
	// crash tests; nil does nothing.
	Hook func(point string)
}

// Journal is the record of undos in one folder. Its methods may be called from
// any goroutine. Only one process may have it open; the agent's supervisor
// opens it after the worker's death is certain.
type Journal struct {
	dir     string
	options Options

	mu     sync.Mutex // guards all below
	slots  [2]*slot
	active int
	seq    uint64
	memory *memory
	damage bool
	closed bool
}

// Open opens or creates the journal in a folder. A damaged journal opens with
// what can be read, and says so in Damaged.
func Open(dir string, o Options) (*Journal, error) {
	if o.Size == 0 {
		o.Size = DefaultSize
	}
	if o.Sync == nil {
		o.Sync = (*os.File).Sync
	}
	if o.Hook == nil {
		o.Hook = func(string) {}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create journal folder: %w", err)
	}
	j := &Journal{dir: dir, options: o, memory: newMemory()}
	for i, name := range []string{"journal.a", "journal.b"} {
		s, err := openSlot(filepath.Join(dir, name), o.Size)
		if err != nil {
			return nil, errors.Join(err, j.closeFiles())
		}
		j.slots[i] = s
	}
	if err := j.load(); err != nil {
		return nil, errors.Join(err, j.closeFiles())
	}
	return j, nil
}

// load takes the newer slot. Where either is damaged, both are read and their
// records joined: an undo too many is harmless, one too few is not.
func (j *Journal) load() error {
	var all [2][]*pb.Record
	var complete [2]bool
	for i, s := range j.slots {
		records, damaged, ok, err := s.load()
		if err != nil {
			return err
		}
		all[i], complete[i] = records, ok
		j.damage = j.damage || damaged
	}
	j.active = 0
	if complete[1] && (!complete[0] || j.slots[1].generation > j.slots[0].generation) {
		j.active = 1
	}
	records := all[j.active]
	if j.damage {
		records = slices.Concat(all[1-j.active], records)
		slices.SortStableFunc(records, func(a, b *pb.Record) int { return cmp.Compare(a.GetSeq(), b.GetSeq()) })
	}
	for _, r := range records {
		j.memory.apply(r)
		j.seq = max(j.seq, r.GetSeq())
	}
	if j.damage || !complete[j.active] {
		return j.compact()
	}
	return nil
}

// Damaged says that some of the journal could not be read when it was opened.
// What its records said about is then unknown until the host has been swept.
func (j *Journal) Damaged() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.damage
}

// Swept says that the host was swept after damage.
func (j *Journal) Swept() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.damage = false
}

// Close closes the files. It undoes nothing.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	return j.closeFiles()
}

func (j *Journal) closeFiles() error {
	var errs []error
	for _, s := range j.slots {
		if s != nil {
			errs = append(errs, s.file.Close())
		}
	}
	return errors.Join(errs...)
}

// admit writes an intent, and refuses it unless room stays for ending
// everything that is under way.
func (j *Journal) admit(r *pb.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := hasRoom(filepath.Join(j.dir, "room"), diskProbe); err != nil {
		return err
	}
	need := reserve + perStep*len(j.memory.steps)
	if frame, err := appendFrame(nil, 0, r); err != nil {
		return err
	} else if need += len(frame); j.slots[j.active].room() < need {
		if err := j.compact(); err != nil {
			return err
		}
		if j.slots[j.active].room() < need {
			return fmt.Errorf("journal in %s: %w", j.dir, ErrFull)
		}
	}
	return j.write("intent", r)
}

// append writes any other record.
func (j *Journal) append(point string, r *pb.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.write(point, r)
}

func (j *Journal) write(point string, r *pb.Record) error {
	if j.closed {
		return ErrClosed
	}
	r.Seq, r.BootId = j.seq+1, j.options.BootID
	j.options.Hook("before:" + point)
	err := j.slots[j.active].append(r, j.options.Sync)
	if errors.Is(err, ErrFull) {
		if err = j.compact(); err == nil {
			err = j.slots[j.active].append(r, j.options.Sync)
		}
	}
	if err != nil {
		return err
	}
	j.options.Hook("after:" + point)
	j.seq++
	j.memory.apply(r)
	return nil
}

// compact writes what still matters into the other slot and goes on there.
func (j *Journal) compact() error {
	next := 1 - j.active
	j.options.Hook("before:compact")
	generation := max(j.slots[0].generation, j.slots[1].generation) + 1
	if err := j.slots[next].rewrite(generation, j.memory.records(), j.options.Sync); err != nil {
		return fmt.Errorf("compact journal: %w", err)
	}
	j.active = next
	j.options.Hook("after:compact")
	return nil
}
