package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// record is a run with a plan, events and windows; n tells one from another.
func record(n, windows int) Record {
	id := fmt.Sprintf("zone-loss-%04d", n)
	done := int64(n)*int64(time.Hour) + 1
	r := &pb.Run{
		Id: id, State: pb.RunState_RUN_STATE_DONE, Verdict: pb.Verdict_VERDICT_PASS, AdmittedIndex: uint64(1000 + n),
		Experiment: &pb.Experiment{Name: "zone-loss", Title: "Lose a zone"}, Source: []byte("name: zone-loss\n"),
		By: &pb.Principal{Name: "kim", Why: "drill"}, Plan: &pb.Plan{Experiment: "zone-loss", Steps: []*pb.PlannedStep{{Id: "dark"}}},
		EnteredUnixNanos: map[uint32]int64{1: 1, 2: 2, uint32(pb.RunState_RUN_STATE_DONE): done},
		Findings:         []*pb.Finding{{Name: "checkout", Text: "p95 < 300"}},
	}
	for i := range 700 { // more than a chunk
		r.Events = append(r.Events, &pb.Event{Index: uint64(i), Run: id, Text: fmt.Sprint("event ", i)})
	}
	return Record{
		Run: r, Summary: &pb.RunSummary{Id: id, Experiment: "zone-loss", AdmittedIndex: r.AdmittedIndex, Verdict: r.Verdict},
		Windows: func(yield func(*pb.Window) bool) {
			for i := range windows {
				if !yield(window(id, i)) {
					return
				}
			}
		},
	}
}

func window(run string, i int) *pb.Window {
	return &pb.Window{
		Run: run, Probe: "checkout", Zone: "zone-a", Second: int64(i), Hosts: []byte{7}, Count: 30, Success: 29, NewestUnixNanos: int64(i) * 1e9,
		Latency: &pb.Histogram{Index: []uint32{3, 40, 41}, Count: []uint64{10, 15, 5}, Max: 9e6}, FirstFailureUnixNanos: 5, LastFailureUnixNanos: 6,
		HasValue: true, Lowest: 0.5, Highest: 2.5,
	}
}

func opened(t *testing.T, dir string) *Archive {
	t.Helper()
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func put(t *testing.T, a *Archive, r Record) Entry {
	t.Helper()
	e, err := a.Put(r)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// whole fails unless an archive gives back all of a record.
func whole(t *testing.T, a *Archive, r Record) {
	t.Helper()
	got, err := a.Run(r.Run.GetId())
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, r.Run) {
		t.Errorf("run %s comes back otherwise", r.Run.GetId())
	}
	next, stop := pull(r)
	defer stop()
	for w, err := range a.Windows(r.Run.GetId()) {
		if err != nil {
			t.Fatal(err)
		}
		if want, ok := next(); !ok || !proto.Equal(w, want) {
			t.Fatalf("window %v comes back as %v", want, w)
		}
	}
	if want, more := next(); more {
		t.Errorf("window %v is missing", want)
	}
	if err := a.Verify(r.Run.GetId()); err != nil {
		t.Error(err)
	}
}

func TestWhatIsPutComesBackAfterARestart(t *testing.T) {
	dir := t.TempDir()
	a := opened(t, dir)
	r := record(1, 3000)
	e := put(t, a, r)
	whole(t, a, r)
	again := opened(t, dir)
	whole(t, again, r)
	kept := again.Entries()
	if len(kept) != 1 || !bytes.Equal(kept[0].Digest, e.Digest) || kept[0].Bytes != e.Bytes {
		t.Fatalf("after a restart the archive has %v", kept)
	}
	if s := kept[0].Seal; s.GetWindows() != 3000 || s.GetEvents() != 700 || s.GetTitle() != "Lose a zone" || s.GetSummary().GetVerdict() != pb.Verdict_VERDICT_PASS {
		t.Errorf("the seal says %v", s)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("the folder has %v", left)
	}
}

func TestSameRecordIsTheSameBytesEverywhere(t *testing.T) {
	a, b := opened(t, t.TempDir()), opened(t, t.TempDir())
	x, y := put(t, a, record(1, 2000)), put(t, b, Record{
		Run: proto.CloneOf(record(1, 0).Run), Summary: proto.CloneOf(record(1, 0).Summary), Windows: record(1, 2000).Windows,
	})
	if !bytes.Equal(x.Digest, y.Digest) {
		t.Errorf("digests are %x and %x", x.Digest, y.Digest)
	}
	if again := put(t, a, record(1, 2000)); !bytes.Equal(again.Digest, x.Digest) {
		t.Errorf("put again, its digest is %x", again.Digest)
	}
	if _, err := a.Put(record(1, 1999)); !errors.Is(err, ErrDiffers) {
		t.Errorf("another record of the same run: %v", err)
	}
	whole(t, a, record(1, 2000))
}

func turned(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x10
	return b
}

func files(t *testing.T, dir string) int {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// Whichever byte of a file is lost or turned, that is found, named, and never
// taken for the run.
func TestDamageIsNamedWhereverItIs(t *testing.T) {
	dir := t.TempDir()
	e := put(t, opened(t, dir), small())
	path := filepath.Join(dir, e.File)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range good {
		for name, bad := range map[string][]byte{"turned": turned(good, at), "cut": good[:at]} {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			a := opened(t, dir)
			if err := a.Verify(e.Run()); err == nil {
				t.Fatalf("%s at byte %d of %d: it verifies", name, at, len(good))
			}
			strangers := a.Strangers()
			if len(strangers) != 1 || strangers[0].File != e.File || strangers[0].Err == nil {
				t.Fatalf("%s at byte %d: named are %v", name, at, strangers)
			}
			if _, err := a.Run(e.Run()); !errors.Is(err, ErrUnknown) {
				t.Fatalf("%s at byte %d: read with %v", name, at, err)
			}
		}
	}
	a := opened(t, dir) // the last one is damaged: put again, it heals
	put(t, a, small())
	if len(a.Strangers()) != 0 {
		t.Errorf("after it was put again: %v", a.Strangers())
	}
	whole(t, a, small())
}

// small is a run of few bytes.
func small() Record {
	r := record(1, 2)
	r.Run.Events = r.Run.Events[:2]
	return r
}

// A read finds damage by itself, with nobody having asked to verify.
func TestDamagedChunkIsNotRead(t *testing.T) {
	dir := t.TempDir()
	a := opened(t, dir)
	e := put(t, a, record(1, 5000))
	path := filepath.Join(dir, e.File)
	good, _ := os.ReadFile(path)
	if err := os.WriteFile(path, turned(good, len(good)-len(good)/4), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Run(e.Run()); err != nil {
		t.Errorf("the run itself is whole, and reading it says %v", err)
	}
	var last error
	for _, err := range a.Windows(e.Run()) {
		last = err
	}
	if !errors.Is(last, ErrDamaged) {
		t.Errorf("reading the windows ends with %v", last)
	}
	if s := a.Strangers(); len(s) != 1 {
		t.Errorf("named are %v", s)
	}
}

func TestForeignFilesAreNoRuns(t *testing.T) {
	dir := t.TempDir()
	e := put(t, opened(t, dir), record(1, 10))
	good, _ := os.ReadFile(filepath.Join(dir, e.File))
	other := fileOf(&pb.Seal{Summary: &pb.RunSummary{Id: "b", AdmittedIndex: 7}})
	for name, data := range map[string]string{"notes.txt": "hello", other: string(good), ".writing-run": "half of it"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, strings.Replace(e.File, "1", "2", 1)), 0o700); err != nil {
		t.Fatal(err)
	}
	a := opened(t, dir)
	if len(a.Entries()) != 1 || len(a.Strangers()) != 3 {
		t.Errorf("entries %v, strangers %v", a.Entries(), a.Strangers())
	}
	if _, err := os.Stat(filepath.Join(dir, ".writing-run")); err == nil {
		t.Error("what a crash left is not swept")
	}
	whole(t, a, record(1, 10))
}

func TestFileThatIsGoneIsToldSo(t *testing.T) {
	dir := t.TempDir()
	a := opened(t, dir)
	e := put(t, a, record(1, 10))
	if err := os.Remove(filepath.Join(dir, e.File)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Run(e.Run()); !errors.Is(err, ErrUnknown) {
		t.Errorf("read with %v", err)
	}
	if len(a.Entries()) != 0 {
		t.Error("it is still listed")
	}
}

func TestPruneKeepsTheNewest(t *testing.T) {
	now := time.Unix(0, int64(10*time.Hour)+1) // run n was done 10-n hours ago
	size := put(t, opened(t, t.TempDir()), record(1, 10)).Bytes
	for _, c := range []struct {
		name   string
		limits Limits
		first  int
	}{
		{"no limits", Limits{}, 0},
		{"by age", Limits{Age: 4 * time.Hour}, 6},
		{"by count", Limits{Runs: 3}, 7},
		{"by size", Limits{Bytes: 2*size + size/2}, 8},
		{"by the strictest", Limits{Age: 9 * time.Hour, Runs: 5, Bytes: 100 * size}, 5},
		{"nothing may be kept", Limits{Bytes: 1}, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			a := opened(t, dir)
			for n := range 10 {
				put(t, a, record(n, 10))
			}
			gone, err := a.Prune(now, c.limits)
			if err != nil {
				t.Fatal(err)
			}
			var kept []string
			for _, e := range opened(t, dir).Entries() {
				kept = append(kept, e.Run())
			}
			var want []string
			for n := c.first; n < 10; n++ {
				want = append(want, record(n, 0).Run.GetId())
			}
			if !slices.Equal(kept, want) || len(gone) != c.first {
				t.Errorf("%d are gone, kept are %v", len(gone), kept)
			}
		})
	}
}

func TestExportHasEverything(t *testing.T) {
	a := opened(t, t.TempDir())
	r := record(1, 1200)
	e := put(t, a, r)
	var out bytes.Buffer
	if err := a.Export(e.Run(), &out); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for line := range strings.Lines(out.String()) {
		count[line[:strings.Index(line, ":")]]++
	}
	if fmt.Sprint(count) != `map[{"event":700 {"run":1 {"seal":1 {"window":1200]` {
		t.Errorf("exported lines: %v", count)
	}
	if err := a.Export("none", io.Discard); !errors.Is(err, ErrUnknown) {
		t.Errorf("a run that is not there is exported with %v", err)
	}
}

// A start reads the two ends of each file, and no windows.
func TestThousandRunsAreOpenedAtOnce(t *testing.T) {
	dir := t.TempDir()
	a := opened(t, dir)
	for n := range 1000 {
		put(t, a, record(n, 20))
	}
	began := time.Now()
	again := opened(t, dir)
	took := time.Since(began)
	if len(again.Entries()) != 1000 {
		t.Fatalf("%d runs are there", len(again.Entries()))
	}
	t.Logf("opened in %s", took)
	if took > 2*time.Second {
		t.Errorf("opening took %s", took)
	}
}
