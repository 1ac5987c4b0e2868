package undo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

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

const (
	// patience is how long Open waits for the disk where nothing can stand for it.
	patience = 10 * time.Second
	// impatience is how long it waits where the mirror is whole.
	impatience = 500 * time.Millisecond
	// parting is how long Close waits for the disk to take what it lacks.
	parting = 2 * time.Second
	// maxDamage bounds the lines that tell of damage.
	maxDamage = 16
)

// Options configure a journal. The zero value is ready for use.
type Options struct {
	// BootID names this boot; records of another one speak of a kernel that is gone.
	BootID string
	// Size is that of each of the two files, in bytes; 0 is DefaultSize.
	Size int
	// Mirror is the path of a file on a file system in memory, in which
	// everything stands before the disk has it; empty is none.
	Mirror string
	// Own returns when this process is the only one that may write the
	// journal's files; what it returns is closed after them. Nil is at once.
	Own func(ctx context.Context) (io.Closer, error)
	// Sync makes a file's bytes durable; nil is (*os.File).Sync.
	Sync func(*os.File) error
	// Disk is where the files are; nil is the host's own, with Sync.
	Disk Disk
	// Hook is called by name around each durable write and each operation, for
	// crash tests; nil does nothing.
	Hook func(point string)
}

func (o Options) withDefaults() Options {
	if o.Size == 0 {
		o.Size = DefaultSize
	}
	if o.Sync == nil {
		o.Sync = (*os.File).Sync
	}
	if o.Disk == nil {
		o.Disk = realDisk{o.Sync}
	}
	if o.Own == nil {
		o.Own = func(context.Context) (io.Closer, error) { return io.NopCloser(nil), nil }
	}
	if o.Hook == nil {
		o.Hook = func(string) {}
	}
	return o
}

// Journal is the record of undos in one folder. Its methods may be called from
// any goroutine, and none but those that add waits for the disk. Only one
// process writes a journal; see DESIGN.md for which.
type Journal struct {
	dir     string
	options Options
	mirror  *mirror
	writer  *writer
	// stop ends the writer's waiting.
	stop context.CancelFunc

	mu     sync.Mutex // guards all below; nothing is written while it is held
	memory *memory
	seq    uint64
	// queue is what the disk lacks, oldest first; the first few are being
	// written.
	queue   []*entryInLine
	writing int
	// wanted is the number of the last record that somebody waits for.
	wanted uint64
	// read says that the disk's records are in memory, late that some of them
	// came after Open had returned and nobody has reverted them yet.
	read, late bool
	// trouble is what the disk answered last; nil when it took what it got.
	trouble error
	closed  bool
	// moved is closed and made anew whenever the disk has taken something.
	moved chan struct{}
	// wake has a token in it when there is something to write.
	wake chan struct{}
}

// Open opens or creates the journal in a folder. A damaged journal opens with
// what can be read, and says so in Damaged. When the disk does not answer, the
// mirror stands for it where it is whole: then faults are refused until the
// disk has been read, and everything else works. Without such a mirror the
// error is ErrDisk.
func Open(dir string, o Options) (*Journal, error) {
	o = o.withDefaults()
	j := &Journal{
		dir: dir, options: o, mirror: &mirror{path: o.Mirror, bootID: o.BootID},
		moved: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	known, whole := j.mirror.read()
	j.memory = fold(known)
	j.seq = lastSeq(known)
	ctx, stop := context.WithCancel(context.Background())
	j.stop = stop
	j.writer = newWriter(j, whole)
	go j.writer.run(ctx)
	if err := j.awaitDisk(whole); err != nil {
		return nil, unopened(dir, o.Size, err, j.abandon())
	}
	return j, nil
}

// unopened is why there is no journal. Where the disk is full, that says it all:
// each of the files, and what is given up, would say it once more.
func unopened(dir string, size int, err, givenUp error) error {
	if why := innermost(err); why.Error() == diskFull {
		return fmt.Errorf("in %s: two files of %d KiB each: %w", dir, size>>10, why)
	}
	return errors.Join(fmt.Errorf("in %s: %w", dir, err), givenUp)
}

// diskFull is the system's word for a disk without room; its number is for the
// doors to the kernel.
const diskFull = "no space left on device"

// innermost is the first cause of an error.
func innermost(err error) error {
	for {
		switch e := err.(type) { //nolint:errorlint // this goes through what wraps it
		case interface{ Unwrap() error }:
			if e.Unwrap() == nil {
				return err
			}
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			err = e.Unwrap()[0]
		default:
			return err
		}
	}
}

// awaitDisk returns when the disk has been read, or when it need not be waited for.
func (j *Journal) awaitDisk(whole bool) error {
	wait := patience
	if whole {
		wait = impatience
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	err := ErrDisk
	select {
	case <-j.writer.ready:
		return nil
	case err = <-j.writer.refused:
	case <-j.writer.ended:
		return ErrClosed
	case <-timer.C:
	}
	if !whole {
		return err
	}
	j.beginWithout(err)
	return nil
}

// beginWithout goes by the mirror alone. Where there is no room for one of its
// own, the earlier owner's stays: what is undone then may be undone once more.
func (j *Journal) beginWithout(err error) {
	err = errors.Join(err, j.mirror.begin(j.everything))
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.read {
		j.late, j.trouble = true, err
	}
}

// join takes in what the disk holds, and says whether the disk lacks something.
func (j *Journal) join(found []*pb.Record, damage []string) (lacks bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	onDisk := map[uint64]bool{}
	for _, r := range found {
		onDisk[r.GetSeq()] = true
	}
	known := j.memory.everything()
	lacks = slices.ContainsFunc(known, func(r *pb.Record) bool { return !onDisk[r.GetSeq()] })
	j.memory = fold(slices.Concat(found, known))
	j.seq = max(j.seq, lastSeq(found))
	if len(damage) > 0 {
		j.seq++
		j.memory.apply(j.damageRecord(damage))
	}
	j.read, j.trouble = true, nil
	j.progress()
	return lacks
}

func lastSeq(records []*pb.Record) (last uint64) {
	for _, r := range records {
		last = max(last, r.GetSeq())
	}
	return last
}

// everything is what the mirror holds.
func (j *Journal) everything() []*pb.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.memory.everything()
}

// Late says that the disk has been read only after Open had returned: what it
// knew beyond the mirror waits for Recover, and new faults wait with it.
func (j *Journal) Late() bool {
	late, read := j.lateness()
	return late && read
}

// lateness says whether the journal began by its mirror alone and has yet to
// recover what the disk knows, and whether the disk has been read.
func (j *Journal) lateness() (late, read bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.late, j.read
}

// settled says that everything that was read has been reverted.
func (j *Journal) settled() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.late = false
}

// BootID names the boot in which the journal was opened.
func (j *Journal) BootID() string { return j.options.BootID }

// Moved is closed when the disk has next been read, or taken something.
func (j *Journal) Moved() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.moved
}

// Unrecorded is what stands in memory and in the mirror and is not on disk yet,
// oldest first, and what the disk answered last: nil when it just has not.
func (j *Journal) Unrecorded() ([]*pb.Record, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []*pb.Record
	for _, line := range j.queue {
		all = append(all, line.record)
	}
	return all, j.trouble
}

// Recorded returns when everything that stands now is on disk, or ctx ends.
func (j *Journal) Recorded(ctx context.Context) error {
	j.mu.Lock()
	until := j.seq
	j.wanted = until
	j.mu.Unlock()
	j.nudge()
	for {
		j.mu.Lock()
		moved, trouble := j.moved, j.trouble
		waits := slices.ContainsFunc(j.queue, func(l *entryInLine) bool { return l.record.GetSeq() <= until })
		read := j.read
		j.mu.Unlock()
		if read && !waits {
			return nil
		}
		select {
		case <-moved:
		case <-j.writer.ended:
			return ErrClosed
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("record on disk: %w", ctx.Err()), trouble)
		}
	}
}

// Close closes the files, when the disk has taken what it lacks, or soon. It
// undoes nothing. An error names what the disk did not take; the mirror has it.
func (j *Journal) Close() error {
	j.mu.Lock()
	j.closed = true
	wait := parting
	if !j.read {
		wait = 0 // it has not even been read
	}
	j.mu.Unlock()
	j.nudge()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-j.writer.ended:
	case <-timer.C:
	}
	return j.abandon()
}

// abandon leaves the writer to end when the disk lets it.
func (j *Journal) abandon() error {
	j.mu.Lock()
	j.closed = true
	left := len(j.queue)
	read, trouble := j.read, j.trouble
	j.mu.Unlock()
	j.stop()
	err := j.mirror.close()
	select {
	case <-j.writer.ended:
		err = errors.Join(err, j.writer.err)
	default:
	}
	switch {
	case left > 0:
		err = errors.Join(err, fmt.Errorf("%d records are not on disk: %w", left, errors.Join(ErrDisk, trouble)))
	case !read:
		err = errors.Join(err, fmt.Errorf("what stands in the mirror may not be on disk: %w", errors.Join(ErrDisk, trouble)))
	}
	return err
}
