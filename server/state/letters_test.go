package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "squall/proto/squall/v1"
)

// letters are n letters of four bytes, so many bytes further on: with 0 to 3 of
// those, every place where a text may be cut is inside one of them at some time.
func letters(pad, n int) string { return strings.Repeat("a", pad) + strings.Repeat("𝄞", n) }

// marshals fails when there could be no snapshot of a machine, or when its record
// of acts is none.
func marshals(t *testing.T, m *Machine, after *pb.Command) {
	t.Helper()
	if _, err := proto.Marshal(m.Snapshot()); err != nil {
		t.Fatalf("after %s: %v", after.ProtoReflect().WhichOneof(kinds()).Name(), err)
	}
	if err := CheckAudit(m.View().Audit()); err != nil {
		t.Fatal(err)
	}
}

// TestNoCommandCutsATextInsideALetter, whatever is in its texts: a state with half a
// letter in it has no snapshot any more, on any server.
func TestNoCommandCutsATextInsideALetter(t *testing.T) {
	arms := kinds().Fields()
	for i := range arms.Len() {
		t.Run(string(arms.Get(i).Name()), func(t *testing.T) {
			b := finished(t)
			for pad := range 4 {
				for _, n := range []int{3, 8, 60, 500} {
					for _, flags := range []bool{false, true} {
						c := &pb.Command{By: &pb.Principal{}}
						fill(c.By.ProtoReflect(), letters(pad, n), flags, 0)
						m := c.ProtoReflect()
						fill(m.Mutable(arms.Get(i)).Message(), letters(pad, n), flags, 0)
						b.apply(c)
						marshals(t, b.m, c)
					}
				}
			}
		})
	}
}

// fill sets every text of a message, and every flag, as deep as messages are.
func fill(m protoreflect.Message, text string, flags bool, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		switch {
		case fd.IsMap() || fd.Message() != nil && depth > 6:
		case fd.IsList() && fd.Message() != nil:
			fill(m.Mutable(fd).List().AppendMutable().Message(), text, flags, depth+1)
		case fd.IsList() && fd.Kind() == protoreflect.StringKind:
			m.Mutable(fd).List().Append(protoreflect.ValueOfString(text))
		case fd.IsList():
		case fd.Message() != nil:
			fill(m.Mutable(fd).Message(), text, flags, depth+1)
		case fd.Kind() == protoreflect.StringKind:
			m.Set(fd, protoreflect.ValueOfString(text))
		case fd.Kind() == protoreflect.BoolKind:
			m.Set(fd, protoreflect.ValueOfBool(flags))
		}
	}
}

// TestNamesOfAnyLettersAreTold through whole lives of runs and schedules: each name
// in a log goes on with letters that are easily cut.
func TestNamesOfAnyLettersAreTold(t *testing.T) {
	runs, schedules, notices := 0, 0, uint64(0)
	for pad := range 4 {
		m := New()
		for i, c := range randomLog(uint64(pad), 400) {
			goOn(c.ProtoReflect(), func(field protoreflect.Name, s string) string {
				switch {
				case s == "" || slices.Contains(events, s) || len(s) == 64 || s == "pause" || s == "UTC":
					return s // they would be other ones
				case slices.Contains([]protoreflect.Name{"why", "reason", "detail", "text", "residue"}, field):
					return s + letters(pad, 500)
				}
				return s + letters(pad, 9)
			})
			m.Apply(uint64(i)+1, c)
			if i%20 == 0 {
				marshals(t, m, c)
			}
			runs, schedules = max(runs, len(m.View().Runs())), max(schedules, len(m.View().Schedules()))
			notices = max(notices, m.View().NoticeSeq())
		}
		for _, host := range m.View().Hosts() {
			if _, err := proto.Marshal(m.View().Order(host.GetHost().GetName())); err != nil {
				t.Fatal(err)
			}
		}
	}
	if runs == 0 || schedules == 0 || notices == 0 {
		t.Errorf("the logs come to %d runs, %d schedules and %d notices", runs, schedules, notices)
	}
}

// goOn replaces each text of a message by what more makes of it.
func goOn(m protoreflect.Message, more func(field protoreflect.Name, s string) string) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap(): // no command of the log has one
		case fd.IsList() && fd.Message() != nil:
			for i := range v.List().Len() {
				goOn(v.List().Get(i).Message(), more)
			}
		case fd.IsList() && fd.Kind() == protoreflect.StringKind:
			for i := range v.List().Len() {
				v.List().Set(i, protoreflect.ValueOfString(more(fd.Name(), v.List().Get(i).String())))
			}
		case fd.IsList():
		case fd.Message() != nil:
			goOn(v.Message(), more)
		case fd.Kind() == protoreflect.StringKind:
			m.Set(fd, protoreflect.ValueOfString(more(fd.Name(), v.String())))
		}
		return true
	})
}

// TestAVersionIsNamedByTwelveLettersOfItsDigest at the most.
func TestAVersionIsNamedByTwelveLettersOfItsDigest(t *testing.T) {
	for digest, want := range map[string]string{
		"": "x", "ab": "x@ab", strings.Repeat("a", 11) + "é": "x@" + strings.Repeat("a", 11) + "é",
		Digest(nil): "x@" + Digest(nil)[:12],
	} {
		if got := at("x", digest); got != want {
			t.Errorf("%q is named %q", digest, got)
		}
	}
}

// TestHashOfAStateThatHasNoSnapshotIsNone.
func TestHashOfAStateThatHasNoSnapshotIsNone(t *testing.T) {
	m := New()
	m.Apply(1, &pb.Command{Id: "a", Kind: &pb.Command_Halt{Halt: &pb.Halt{Id: "h", Reason: "half a letter: \xc3"}}})
	defer func() {
		if p := fmt.Sprint(recover()); !strings.Contains(p, "hash state at index 1") {
			t.Errorf("it says %v", p)
		}
	}()
	m.Hash()
}
