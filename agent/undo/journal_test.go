package undo

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	pb "squall/proto/squall/v1"
)

func openJournal(t *testing.T, dir string, o Options) *Journal {
	t.Helper()
	if o.Size == 0 {
		o.Size = 512 << 10
	}
	j, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func intent(run, step string) *pb.Record {
	return &pb.Record{Kind: &pb.Record_Intent{Intent: &pb.Intent{Run: run, Step: step}}}
}

func mark(run, step string, state pb.StepState) *pb.Record {
	return &pb.Record{Kind: &pb.Record_Mark{Mark: &pb.Mark{Run: run, Step: step, State: state}}}
}

// write records and waits until it is on disk.
func (j *Journal) write(t *testing.T, r *pb.Record) {
	t.Helper()
	if r.GetIntent() != nil {
		if err := j.add(t.Context(), "test", r); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := errors.Join(j.take("test", r), j.Recorded(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// active is the slot in use, of a journal that has nothing to write.
func (j *Journal) activeSlot() *slot { return j.writer.slots[j.writer.active] }

func states(j *Journal) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var b bytes.Buffer
	for _, s := range j.memory.all() {
		fmt.Fprintf(&b, "%s/%s %s\n", s.Run, s.Step, s.State)
	}
	return b.String()
}

func TestJournalRemembersAcrossOpens(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, Options{})
	for _, r := range []*pb.Record{intent("r1", "a"), intent("r1", "b"), mark("r1", "a", pb.StepState_STEP_STATE_REVERTED)} {
		j.write(t, r)
	}
	want := states(j)
	j.Close()
	again := openJournal(t, dir, Options{})
	if got := states(again); got != want {
		t.Errorf("after reopening:\n%swant:\n%s", got, want)
	}
	if again.Damaged() {
		t.Error("a journal that was closed well reads as damaged")
	}
}

// files is a journal's folder as bytes: its slot in use, and the other one.
type files struct {
	active, other string
	image, idle   []byte
	// end is where the log goes on in the image.
	end int
}

// written is a journal that was closed after some records.
func written(t *testing.T, records ...*pb.Record) files {
	t.Helper()
	dir := t.TempDir()
	j := openJournal(t, dir, Options{Size: 300 << 10})
	for _, r := range records {
		j.write(t, r)
	}
	f := files{active: filepath.Base(j.activeSlot().path), end: j.activeSlot().end}
	f.other = filepath.Base(j.writer.slots[1-j.writer.active].path)
	j.Close()
	f.image, f.idle = read(t, filepath.Join(dir, f.active)), read(t, filepath.Join(dir, f.other))
	return f
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// reopen opens a journal on an image of its slot in use.
func (f files) reopen(t *testing.T, image []byte) *Journal {
	t.Helper()
	dir := t.TempDir()
	err := errors.Join(os.WriteFile(filepath.Join(dir, f.active), image, 0o600),
		os.WriteFile(filepath.Join(dir, f.other), f.idle, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return openJournal(t, dir, Options{Size: 300 << 10, Sync: func(*os.File) error { return nil }})
}

// Every record that was acknowledged survives a power cut at any byte of the
// one being written, and what is cut off is never taken for a record.
func TestAcknowledgedRecordsSurviveATornWrite(t *testing.T) {
	kept := written(t, intent("r1", "kept"))
	torn := written(t, intent("r1", "kept"), intent("r1", "torn"))
	whole := map[int]bool{} // a cut there tears nothing; the writer may have put its own record between
	for at := framesAt; at < torn.end; {
		_, _, size := decodeFrame(torn.image[at:])
		at += size
		whole[at] = true
	}
	for cut := kept.end; cut < torn.end; cut++ {
		image := slices.Clone(torn.image)
		clear(image[cut:])
		j := torn.reopen(t, image)
		if got := states(j); got != "r1/kept STEP_STATE_ARMED\n" {
			t.Fatalf("cut at byte %d: journal holds\n%s", cut-kept.end, got)
		}
		if damaged := !whole[cut]; j.Damaged() != damaged {
			t.Errorf("cut at byte %d: damaged = %t", cut-kept.end, j.Damaged())
		}
		j.Close()
	}
}

// Whatever byte rots, nothing is lost in silence: either everything is still
// there, or the loss is noticed and the undos around it are kept.
func TestRotIsNoticedAndTheRestIsRead(t *testing.T) {
	f := written(t, intent("r1", "a"), intent("r1", "b"), intent("r1", "c"))
	for at := range f.end {
		if at >= headerSize && at < headerGap || at >= headerGap+headerSize && at < framesAt {
			continue // padding
		}
		image := slices.Clone(f.image)
		image[at] ^= 0x40
		j := f.reopen(t, image)
		inFrames := at >= framesAt
		if j.Damaged() != inFrames {
			t.Fatalf("a flip at byte %d: damaged = %t", at, j.Damaged())
		}
		want := 3
		if inFrames {
			want = 2
		}
		if n := len(j.memory.steps); n != want {
			t.Fatalf("a flip at byte %d left %d of 3 steps, want %d", at, n, want)
		}
		j.Close()
	}
}

func TestJournalNeverAsksTheDiskForRoom(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, Options{Size: 320 << 10, Sync: func(*os.File) error { return nil }})
	before := diskUse(t, dir)
	for i := range 5000 {
		step := fmt.Sprint("s", i)
		for _, r := range []*pb.Record{
			intent("r1", step), mark("r1", step, pb.StepState_STEP_STATE_REVERTED),
			{Kind: &pb.Record_Forget{Forget: &pb.Forget{Run: "r1", Step: step}}},
		} {
			j.write(t, r)
		}
	}
	if after := diskUse(t, dir); after != before {
		t.Errorf("the journal grew from %d to %d bytes", before, after)
	}
	if j.activeSlot().generation < 2 {
		t.Errorf("generation %d: the journal was never compacted", j.activeSlot().generation)
	}
}

func diskUse(t *testing.T, dir string) (total int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	return total
}

// A journal that fills up refuses faults while there is still room to end them.
func TestFullJournalRefusesNewFaultsAndStillTakesMarks(t *testing.T) {
	j := openJournal(t, t.TempDir(), Options{Size: 320 << 10})
	var admitted []string
	for i := range 100 {
		step := fmt.Sprint("s", i)
		err := j.add(t.Context(), "intent", intent("r1", step))
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		admitted = append(admitted, step)
	}
	if len(admitted) == 0 || len(admitted) == 100 {
		t.Fatalf("%d steps were admitted", len(admitted))
	}
	for _, step := range admitted {
		for _, state := range []pb.StepState{pb.StepState_STEP_STATE_HELD, pb.StepState_STEP_STATE_REVERTED} {
			j.write(t, mark("r1", step, state))
		}
	}
}

func FuzzDecodeFrames(f *testing.F) {
	whole, _ := appendFrame(nil, 7, intent("r1", "a"))
	f.Add(append(whole, endMark...), uint64(7))
	f.Add([]byte(marker+"\xff\xff\xff\xff...."), uint64(1))
	f.Add(bytes.Repeat([]byte(marker), 100), uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, generation uint64) {
		got := decodeFrames(b, generation)
		if got.end > len(b) {
			t.Fatalf("end %d of %d bytes", got.end, len(b))
		}
		if len(b) >= len(endMark) && len(got.records) == 0 && !got.torn && !bytes.HasPrefix(b, endMark) {
			t.Fatal("garbage passes for an empty log")
		}
	})
}

// Whatever stands in a slot, reading it ends, and what is lost is said.
func FuzzSlot(f *testing.F) {
	whole := header{generation: 3, state: stateComplete, records: 1}.encode()
	slotOf := func(one, two, frames []byte) []byte {
		b := make([]byte, framesAt)
		copy(b, one)
		copy(b[headerGap:], two)
		return append(b, frames...)
	}
	frame, _ := appendFrame(nil, 3, intent("r1", "a"))
	f.Add(slotOf(whole, whole, frame))
	f.Add(slotOf(whole, nil, frame))
	f.Add(slotOf(nil, nil, frame))
	f.Add(slotOf(whole, whole, frame[:9]))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "slot")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := &slot{disk: realDisk{(*os.File).Sync}, path: path, size: framesAt}
		if _, err := s.open(); err != nil {
			t.Fatal(err)
		}
		defer s.close()
		c := s.load()
		if c.complete && len(c.records) < int(c.header.records) && c.broken == "" {
			t.Fatal("missing records were not noticed")
		}
		if c.blank && len(c.records) > 0 {
			t.Fatal("a slot with records passes for one never written")
		}
	})
}
