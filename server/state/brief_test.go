package state

import (
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// TestLongTextsAreKeptShort of every kind of command, done or refused, with texts as
// long as a call may bring them: thousands of acts and outcomes are kept.
func TestLongTextsAreKeptShort(t *testing.T) {
	arms := kinds().Fields()
	for i := range arms.Len() {
		t.Run(string(arms.Get(i).Name()), func(t *testing.T) {
			b := finished(t)
			for _, flags := range []bool{false, true} {
				c := &pb.Command{By: &pb.Principal{}}
				m := c.ProtoReflect()
				fill(c.By.ProtoReflect(), letters(1, text.Most/4-1), flags, 0)
				fill(m.Mutable(arms.Get(i)).Message(), letters(1, text.Most/4-1), flags, 0)
				c.Id = letters(1, 1000)
				if flags {
					c.Id += "2"
				}
				o := b.apply(c)
				if again := b.apply(c); !again.GetRepeatedCommand() || again.GetIndex() != o.GetIndex() {
					t.Errorf("it is not known again: %v", again)
				}
			}
			for _, rec := range b.m.View().Audit() {
				isShort(t, rec.ProtoReflect())
				isShort(t, rec.GetBy().ProtoReflect())
			}
			for _, done := range b.m.Snapshot().GetApplied() {
				isShort(t, done.ProtoReflect())
				isShort(t, done.GetOutcome().GetRefused().ProtoReflect())
			}
			marshals(t, b.m, &pb.Command{})
		})
	}
}

func isShort(t *testing.T, m protoreflect.Message) {
	t.Helper()
	for fd, v := range m.Range {
		if fd.Kind() == protoreflect.StringKind && (len(v.String()) > mostText || !utf8.ValidString(v.String())) {
			t.Errorf("%s has %d bytes: %.40q", fd.FullName(), len(v.String()), v.String())
		}
	}
}

// TestWhoDidItIsKeptShort wherever it is kept, and the command stays as it was.
func TestWhoDidItIsKeptShort(t *testing.T) {
	d := newDrills(t)
	c := putSchedule("s", "2026-12-01T09:00")
	c.By.Why = letters(0, text.Most/4)
	sent := proto.CloneOf(c)
	d.must(c)
	if by := d.View().Schedule("s").GetBy(); len(by.GetWhy()) > mostText || by.GetName() != "ann" {
		t.Errorf("kept is %.80q of %q", by.GetWhy(), by.GetName())
	}
	if sent.Id, sent.AtUnixNanos = c.GetId(), c.GetAtUnixNanos(); !proto.Equal(c, sent) {
		t.Error("the command is another one")
	}
}
