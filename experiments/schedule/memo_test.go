package schedule

import (
	"errors"
	"runtime"
	"testing"

	pb "squall/proto/squall/v1"
)

// TestMemoReadsAMessageOnce, and forgets it when the message is gone.
func TestMemoReadsAMessageOnce(t *testing.T) {
	var m memo[pb.Calendar, string]
	reads := 0
	read := func(k *pb.Calendar) (*string, error) {
		if reads++; k.GetName() == "" {
			return nil, errors.New("it has no name")
		}
		return new(string), nil
	}
	k := &pb.Calendar{Name: "freeze"}
	first, err := m.of(k, read)
	again, err2 := m.of(k, read)
	if first != again || err != nil || err2 != nil || reads != 1 {
		t.Errorf("%d reads: %v, %v", reads, err, err2)
	}
	if other, _ := m.of(&pb.Calendar{Name: "freeze"}, read); other == first || reads != 2 {
		t.Error("another message of the same words is taken for the first")
	}
	if _, err := m.of(nil, read); err == nil || reads != 3 {
		t.Errorf("nothing is read: %v", err)
	}
	runtime.KeepAlive(k)
	for kept := true; kept; runtime.GC() {
		kept = false
		m.known.Range(func(any, any) bool { kept = true; return false })
	}
}
