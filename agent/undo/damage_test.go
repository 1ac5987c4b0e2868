package undo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	pb "squall/proto/squall/v1"
)

// fields of a slot that holds one compaction and some records after it, by name.
func fields(f files) map[string][2]int {
	all := map[string][2]int{}
	for i, at := range []int{0, headerGap} {
		for name, span := range map[string][2]int{
			"magic": {0, 8}, "generation": {8, 16}, "state": {16, 20}, "records": {20, 24}, "other": {24, 32}, "crc": {32, 36},
		} {
			all[fmt.Sprintf("header %d %s", i+1, name)] = [2]int{at + span[0], at + span[1]}
		}
	}
	frame := framesAt
	for n := 1; frame < f.end; n++ {
		_, _, size := decodeFrame(f.image[frame:])
		for name, span := range map[string][2]int{
			"marker": {0, 4}, "length": {4, 8}, "generation": {8, 16}, "crc": {16, 20}, "record": {20, size},
		} {
			all[fmt.Sprintf("frame %d %s", n, name)] = [2]int{frame + span[0], frame + span[1]}
		}
		frame += size
	}
	all["end mark"] = [2]int{f.end, f.end + len(endMark)}
	return all
}

// ways are what happens to a field.
var ways = map[string]func([]byte){
	"zeros": func(b []byte) { clear(b) },
	"ones":  func(b []byte) { fill(b, 0xff) },
	"one bit": func(b []byte) {
		b[len(b)-1] ^= 1
	},
}

func fill(b []byte, with byte) {
	for i := range b {
		b[i] = with
	}
}

// history is a halt, a step that was reverted, and one that is open.
func history() []*pb.Record {
	return []*pb.Record{
		{Kind: &pb.Record_Halt{Halt: &pb.HaltLatch{Id: "h", Engaged: true}}},
		intent("r1", "over"), mark("r1", "over", pb.StepState_STEP_STATE_REVERTED), intent("r1", "open"),
	}
}

// Each field of a slot is damaged in turn: either nothing is lost, or the loss
// is told and no fault begins before somebody has confirmed it.
func TestEachFieldDamagedInTurn(t *testing.T) {
	f := written(t, history()...)
	for name, span := range fields(f) {
		for way, damage := range ways {
			image := slices.Clone(f.image)
			damage(image[span[0]:span[1]])
			if slices.Equal(image, f.image) {
				continue
			}
			nothingLostInSilence(t, f.reopen(t, image), name+" "+way)
		}
	}
}

// Two fields at once: both headers, and each header with the first frame.
func TestHeadersLostOverFrames(t *testing.T) {
	f := written(t, history()...)
	for name, spans := range map[string][][2]int{
		"the first 64 bytes":  {{0, 64}},
		"both headers":        {{0, headerSize}, {headerGap, headerGap + headerSize}},
		"all before frames":   {{0, framesAt}},
		"and the first frame": {{0, headerSize}, {headerGap, headerGap + headerSize}, {framesAt, framesAt + 4}},
	} {
		image := slices.Clone(f.image)
		for _, span := range spans {
			clear(image[span[0]:span[1]])
		}
		nothingLostInSilence(t, f.reopen(t, image), name)
	}
}

// A slot that is empty, and was not, is damage.
func TestSlotThatIsEmptyAndWasNot(t *testing.T) {
	f := written(t, history()...)
	dir := t.TempDir()
	j := openJournal(t, dir, Options{Size: 300 << 10})
	for _, r := range history() {
		j.write(t, r)
	}
	j.mu.Lock()
	j.writer.doubtful = true // the next record goes into the other slot
	j.mu.Unlock()
	j.write(t, mark("r1", "open", pb.StepState_STEP_STATE_HELD))
	used := j.activeSlot().path
	j.Close()
	if err := os.WriteFile(used, make([]byte, len(f.image)), 0o600); err != nil {
		t.Fatal(err)
	}
	again := openJournal(t, dir, Options{Size: 300 << 10})
	nothingLostInSilence(t, again, "an emptied slot")
}

func nothingLostInSilence(t *testing.T, j *Journal, what string) {
	t.Helper()
	defer j.Close()
	r := &Runner{journal: j}
	over, _ := r.Step("r1", "over")
	open, _ := r.Step("r1", "open")
	complete := r.Halted() != nil && over != nil && !over.Open() && open != nil && open.Open()
	if !complete && !j.Damaged() {
		t.Errorf("%s: halted %v, steps\n%s and no word of damage", what, r.Halted(), states(j))
	}
	err := j.add(t.Context(), "intent", intent("r2", "new"))
	if errors.Is(err, ErrDamaged) != j.Damaged() {
		t.Errorf("%s: damaged %t, and a new fault is answered with %v", what, j.Damaged(), err)
	}
}

// Damage outlives restarts, until somebody confirms it.
func TestDamageStandsUntilItIsConfirmed(t *testing.T) {
	f := written(t, history()...)
	image := slices.Clone(f.image)
	image[f.end-1] ^= 1
	j := f.reopen(t, image)
	dir, found := j.dir, j.damaged()
	if found.GetId() == "" || found.GetSinceUnixNanos() == 0 {
		t.Fatalf("it has no name, or no time: %v", found)
	}
	for range 2 {
		j.Close()
		j = openJournal(t, dir, Options{})
		if got := j.damaged(); got.GetId() != found.GetId() || got.GetSinceUnixNanos() != found.GetSinceUnixNanos() {
			t.Fatalf("a restart makes of %v %v", found, got)
		}
	}
	if err := j.take("confirm", &pb.Record{Kind: &pb.Record_Damage{Damage: &pb.Damage{Confirmed: true}}}); err != nil {
		t.Fatal(err)
	}
	j.Close()
	j = openJournal(t, dir, Options{})
	if j.Damaged() {
		t.Error("it was confirmed")
	}
	j.write(t, intent("r2", "new"))
}

// What the disk has lost stands in a mirror that is whole.
func TestWholeMirrorMakesDamageGood(t *testing.T) {
	dir, mirror := t.TempDir(), filepath.Join(t.TempDir(), "mirror")
	j := openJournal(t, dir, Options{Mirror: mirror})
	for _, r := range history() {
		j.write(t, r)
	}
	want := states(j)
	used := j.activeSlot().path
	j.Close()
	if err := os.WriteFile(used, make([]byte, 512<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	j = openJournal(t, dir, Options{Mirror: mirror})
	if got := states(j); got != want || j.Damaged() {
		t.Errorf("damaged %t, with\n%s", j.Damaged(), got)
	}
	j.Close()
	j = openJournal(t, dir, Options{})
	if got := states(j); got != want {
		t.Errorf("on disk:\n%s", got)
	}
}

// A file that is no mirror, or that of another boot, stands for nothing.
func TestMirrorOfAnotherBootStandsForNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mirror")
	old := &mirror{path: path, bootID: "before"}
	if err := old.begin(func() []*pb.Record { return history() }); err != nil {
		t.Fatal(err)
	}
	for _, boot := range []string{"before", "now"} {
		records, whole := (&mirror{path: path, bootID: boot}).read()
		if whole != (boot == "before") || len(records) != len(history()) {
			t.Errorf("in boot %s: %d records, whole %t", boot, len(records), whole)
		}
	}
}

// FuzzMirror reads whatever stands in a mirror's place.
func FuzzMirror(f *testing.F) {
	path := filepath.Join(f.TempDir(), "mirror")
	m := &mirror{path: path, bootID: "boot"}
	if err := m.begin(func() []*pb.Record { return history() }); err != nil {
		f.Fatal(err)
	}
	whole, _ := os.ReadFile(path)
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add([]byte(mirrorMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "mirror")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, whole := (&mirror{path: path, bootID: "boot"}).read(); whole && b[wholeAt] != 1 {
			t.Fatal("a mirror that says it lacks something counts as whole")
		}
	})
}

// Local faults come and go by the thousand, and never fill the journal.
func TestLocalFaultsNeverFillTheJournal(t *testing.T) {
	j := openJournal(t, t.TempDir(), Options{Size: 320 << 10, Sync: func(*os.File) error { return nil }})
	r := &Runner{journal: j}
	for i := range 10000 {
		step := fmt.Sprint("s", i)
		r := intent("local", step)
		r.GetIntent().Local = true
		end := mark("local", step, pb.StepState_STEP_STATE_REVERTED)
		if i%3 == 0 { // refused before anything was written
			end.GetMark().State, end.GetMark().Local = pb.StepState_STEP_STATE_REFUSED, true
		} else if err := j.add(t.Context(), "intent", r); err != nil {
			t.Fatalf("fault %d: %v", i, err)
		}
		if err := j.take("mark", end); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.Steps()); n > keptLocal {
		t.Errorf("%d local steps are remembered", n)
	}
	if n := len(j.memory.forgotten); n > keptLocal {
		t.Errorf("%d are known as forgotten", n)
	}
}

// Residue is forgotten only once it is clean.
func TestForgetWaitsForResidue(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, Options{})
	j.write(t, intent("r1", "a"))
	dirty := mark("r1", "a", pb.StepState_STEP_STATE_REVERTED)
	dirty.GetMark().Residue = []string{"one link"}
	j.write(t, dirty)
	j.write(t, &pb.Record{Kind: &pb.Record_Forget{Forget: &pb.Forget{Run: "r1", Step: "a"}}})
	j.Close()
	j = openJournal(t, dir, Options{})
	if states(j) == "" {
		t.Fatal("residue was forgotten")
	}
	j.write(t, mark("r1", "a", pb.StepState_STEP_STATE_REVERTED))
	if got := states(j); got != "" {
		t.Errorf("a clean step that was to be forgotten is kept: %s", got)
	}
}
