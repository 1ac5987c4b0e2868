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

	"google.golang.org/protobuf/proto"

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

// entryInLine is a record on its way to the disk.
type entryInLine struct {
	record *pb.Record
	point  string
	// done hears once how it went, for what adds; nil for what takes away.
	done chan error
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
		return nil, errors.Join(fmt.Errorf("open journal in %s: %w", dir, err), j.abandon())
	}
	return j, nil
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

// Damaged says that some of the journal could not be read, and that nobody has
// confirmed since that new faults may begin.
func (j *Journal) Damaged() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.damaged() != nil
}

// damaged is the damage that stands. The caller holds mu.
func (j *Journal) damaged() *pb.Damage {
	r := j.memory.damage
	d := r.GetDamage()
	if d == nil || d.GetConfirmed() {
		return nil
	}
	if d.GetId() == "" { // recorded by an earlier build
		d = proto.CloneOf(d)
		d.Id, d.SinceUnixNanos = damageID(r), r.GetUnixNanos()
	}
	return d
}

// damageRecord is what was found just now, on top of what stands already: that
// stands since it was found first. The caller holds mu.
func (j *Journal) damageRecord(what []string) *pb.Record {
	r := &pb.Record{Seq: j.seq, BootId: j.options.BootID, UnixNanos: time.Now().UnixNano()}
	d := &pb.Damage{What: what, Id: damageID(r), SinceUnixNanos: r.GetUnixNanos()}
	if old := j.damaged(); old != nil {
		d.SinceUnixNanos = old.GetSinceUnixNanos()
		for _, line := range old.GetWhat() {
			if !slices.Contains(what, line) {
				d.What = append(d.What, line)
			}
		}
		d.What = d.What[:min(len(d.What), maxDamage)]
	}
	r.Kind = &pb.Record_Damage{Damage: d}
	return r
}

// damageID names damage by when it was found; the host's name stands beside it
// wherever it is told.
func damageID(r *pb.Record) string { return fmt.Sprintf("%x-%d", r.GetUnixNanos(), r.GetSeq()) }

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

// add records what adds, and returns when it is on disk. Where it can't be, or
// ctx ends first, the error says so, and the record counts for nothing: the
// caller says next how the step ended.
func (j *Journal) add(ctx context.Context, point string, r *pb.Record) error {
	if _, err := appendFrame(nil, 0, r); err != nil {
		return err
	}
	line := &entryInLine{record: r, point: point, done: make(chan error, 1)}
	if err := j.enter(line, j.addable); err != nil {
		return err
	}
	if err := j.reflect(line); err != nil {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	j.nudge()
	select {
	case err := <-line.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrDisk, ctx.Err())
	}
}

// addable says why nothing may be added now. The caller holds mu.
func (j *Journal) addable() error {
	switch d := j.damaged(); {
	case d != nil:
		return fmt.Errorf("%w, and nobody has confirmed it: %s", ErrDamaged, firstOf(d.GetWhat()))
	case !j.read || j.late:
		return errors.Join(ErrDisk, j.trouble)
	}
	return nil
}

func firstOf(what []string) string {
	if len(what) == 0 {
		return "its content is not known"
	}
	return what[0]
}

// take records what takes away: at once in memory and in the mirror, and on
// disk when the disk lets it. The error is ErrClosed alone.
func (j *Journal) take(point string, r *pb.Record) error {
	line := &entryInLine{record: fitting(r), point: point}
	if err := j.enter(line, func() error { return nil }); err != nil {
		return err
	}
	// A mirror that fails is told by Unrecorded, until the disk has it.
	_ = j.reflect(line)
	j.nudge()
	return nil
}

// enter gives a record its number and lets it stand in memory.
func (j *Journal) enter(line *entryInLine, may func() error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return ErrClosed
	}
	if err := may(); err != nil {
		return err
	}
	j.seq++
	line.record.Seq, line.record.BootId = j.seq, j.options.BootID
	j.memory.apply(line.record)
	j.queue = append(j.coalesce(line.record), line)
	return nil
}

// coalesce drops from the queue what a newer record makes old, so that a disk
// that hangs for days costs no memory. The caller holds mu.
func (j *Journal) coalesce(r *pb.Record) []*entryInLine {
	same := func(old *pb.Record) bool {
		switch r.GetKind().(type) {
		case *pb.Record_Order:
			return old.GetOrder() != nil
		case *pb.Record_Halt:
			return old.GetHalt() != nil && old.GetHalt().GetLocal() == r.GetHalt().GetLocal()
		}
		return false
	}
	kept := j.queue[:j.writing:j.writing]
	for _, line := range j.queue[j.writing:] {
		if line.done != nil || !same(line.record) {
			kept = append(kept, line)
		}
	}
	return kept
}

// reflect lets a record stand in the mirror.
func (j *Journal) reflect(line *entryInLine) error {
	j.options.Hook("before:mirror")
	err := j.mirror.append(line.record, j.everything)
	j.options.Hook("after:mirror")
	return err
}

// nudge tells the writer that there is something to write.
func (j *Journal) nudge() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
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
	j.mu.Unlock()
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
