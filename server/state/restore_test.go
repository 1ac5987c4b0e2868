package state

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"
)

// TestRestoredServerAnswersAsTheOthers to each command that comes after.
func TestRestoredServerAnswersAsTheOthers(t *testing.T) {
	const each = 40
	for seed := range uint64(5) {
		m, restored, log := New(), New(), randomLog(seed, 600)
		for i, c := range log {
			if i%each == 0 {
				if err := restored.Restore(roundTrip(t, m.Snapshot())); err != nil {
					t.Fatal(err)
				}
			}
			index := uint64(i) + 1
			if o, r := m.Apply(index, proto.CloneOf(c)), restored.Apply(index, proto.CloneOf(c)); !proto.Equal(o, r) {
				t.Fatalf("seed %d: to %v one server says %v, and one that was restored %v", seed, c, o, r)
			}
			if i%each == each-1 && m.Hash() != restored.Hash() {
				t.Fatalf("seed %d: at %d the two servers differ", seed, index)
			}
		}
	}
}

// TestRunIsKeptAsARestoreMakesIt: what a run is looked up by is no part of a
// snapshot, and must not be lost on the way to one.
func TestRunIsKeptAsARestoreMakesIt(t *testing.T) {
	for seed := range uint64(5) {
		m := New()
		for i, c := range randomLog(seed, 600) {
			m.Apply(uint64(i)+1, c)
			for id, r := range m.View().runs {
				made := recordOf(r.run)
				if made.windows = r.windows; !reflect.DeepEqual(r, made) {
					t.Fatalf("seed %d: after %v run %q is kept in another way than a restore makes it", seed, c, id)
				}
			}
		}
	}
}
