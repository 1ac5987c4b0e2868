package state

import (
	"fmt"
	"strings"
	"testing"

	pb "squall/proto/squall/v1"
)

// book is a machine, and the index of its last command.
type book struct {
	t *testing.T
	*Machine
	index uint64
}

func newBook(t *testing.T) *book { return &book{t: t, Machine: New()} }

func (b *book) apply(c *pb.Command) *pb.Problem {
	b.index++
	c.By = &pb.Principal{Name: "ann", Why: "because"}
	return b.Apply(b.index, c).GetRefused()
}

func (b *book) must(c *pb.Command) {
	b.t.Helper()
	if p := b.apply(c); p != nil {
		b.t.Fatal(p)
	}
}

func putFile(name, source string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_PutExperiment{PutExperiment: &pb.PutExperiment{Name: name, Source: []byte(source)}}}
}

func removeFile(name, digest string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_RemoveExperiment{RemoveExperiment: &pb.RemoveExperiment{Name: name, Digest: digest}}}
}

// pinFile keeps a schedule of a version of "dark".
func pinFile(name, source string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_PutSchedule{PutSchedule: &pb.PutSchedule{
		Name: name, After: "2026-11-30T00:00", Pin: &pb.Pin{Experiment: "dark", Digest: Digest([]byte(source))},
		Experiment: &pb.Experiment{Name: "dark", Schedule: &pb.Schedule{Every: "day at 02:00", Timezone: "UTC", Except: []string{}}},
	}}}
}

func (b *book) digests(name string) (all []string) {
	for _, v := range b.View().Experiment(name).GetVersions() {
		all = append(all, string(v.GetSource()))
	}
	return all
}

func TestVersionsAreInTheOrderOfTheirPuts(t *testing.T) {
	b := newBook(t)
	for _, source := range []string{"one", "two", "two", "one"} {
		b.must(putFile("dark", source))
	}
	if got := fmt.Sprint(b.digests("dark")); got != "[two one]" {
		t.Errorf("kept are %s", got)
	}
	v := b.View().Experiment("dark").GetVersions()[0]
	if v.GetDigest() != Digest([]byte("two")) || v.GetBy().GetName() != "ann" || v.GetBy().GetWhy() != "because" {
		t.Errorf("kept as %v", v)
	}
	audit := b.View().Audit()
	if last := audit[len(audit)-1]; last.GetAct() != "put experiment" || last.GetObject() != "dark@"+Digest([]byte("one"))[:12] {
		t.Errorf("on record as %v", last)
	}
}

// TestPinnedVersionStays: it is not removed, nor dropped for newer ones, and what
// is put later is not what the schedule is of.
func TestPinnedVersionStays(t *testing.T) {
	b := newBook(t)
	b.must(putFile("dark", "pinned"))
	b.must(pinFile("nightly", "pinned"))
	for i := range 2 * maxVersions {
		b.must(putFile("dark", fmt.Sprint("later ", i)))
	}
	if got := b.digests("dark"); len(got) != maxVersions || got[0] != "pinned" || got[1] != fmt.Sprint("later ", maxVersions+1) {
		t.Errorf("kept are %q", got)
	}
	if s := b.View().Schedule("nightly"); string(s.GetSource()) != "pinned" {
		t.Errorf("the schedule is of %q", s.GetSource())
	}
	for _, digest := range []string{"", Digest([]byte("pinned"))} {
		p := b.apply(removeFile("dark", digest))
		if !strings.Contains(p.GetMessage(), "is pinned by schedule nightly") || !strings.Contains(p.GetFix(), "squall schedule remove nightly") {
			t.Errorf("its removal is refused with %v", p)
		}
	}
	b.must(removeFile("dark", Digest([]byte("later 39"))))
	b.must(&pb.Command{Kind: &pb.Command_RemoveSchedule{RemoveSchedule: &pb.RemoveSchedule{Name: "nightly"}}})
	b.must(removeFile("dark", ""))
	if b.View().Experiment("dark") != nil {
		t.Error("it is kept still")
	}
}

// TestScheduleKeepsTheFileThatItBrings, and none of a version that is not there.
func TestScheduleKeepsTheFileThatItBrings(t *testing.T) {
	b := newBook(t)
	if p := b.apply(pinFile("nightly", "none")); !strings.Contains(p.GetMessage(), `no experiment "dark@`) {
		t.Errorf("a pin of nothing is refused with %v", p)
	}
	c := pinFile("nightly", "")
	c.GetPutSchedule().Pin, c.GetPutSchedule().Source = nil, []byte("brought")
	b.must(c)
	if got := b.View().Schedule("nightly").GetPin(); got.GetDigest() != Digest([]byte("brought")) || b.View().version(got) == nil {
		t.Errorf("it pins %v of %q", got, b.digests("dark"))
	}
}

func TestFilesAreBounded(t *testing.T) {
	b := newBook(t)
	for name, source := range map[string]string{"": "x", "empty": "", "large": strings.Repeat("x", maxSource+1)} {
		if p := b.apply(putFile(name, source)); p.GetRefusal() != pb.Refusal_REFUSAL_INVALID || p.GetFix() == "" {
			t.Errorf("%q is refused with %v", name, p)
		}
	}
	for i := range maxSources / maxSource {
		b.must(putFile(fmt.Sprint("f", i), strings.Repeat(fmt.Sprint(i), maxSource)))
	}
	if p := b.apply(putFile("more", "x")); p.GetRefusal() != pb.Refusal_REFUSAL_GUARDRAIL || b.View().Experiment("more") != nil {
		t.Errorf("one more byte is refused with %v", p)
	}
}

// TestRemovalOfWhatIsNotThere is refused, but for a request that comes again.
func TestRemovalOfWhatIsNotThere(t *testing.T) {
	b := newBook(t)
	b.must(putFile("dark", "x"))
	c := removeFile("dark", "")
	c.Id = "remove experiment/1"
	b.must(c)
	b.must(c)
	if p := b.apply(removeFile("dark", "")); p.GetRefusal() != pb.Refusal_REFUSAL_UNKNOWN || p.GetFix() == "" {
		t.Errorf("it is refused with %v", p)
	}
}
