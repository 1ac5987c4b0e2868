package host

import (
	"context"
	"errors"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// stubborn is a mechanism that can't be closed at first.
type stubborn struct{ closes int }

func (s *stubborn) Close() error {
	if s.closes++; s.closes == 1 {
		return errors.New("not now")
	}
	return nil
}

func (*stubborn) evidence(context.Context, bool) ([]*pb.Evidence, error) { return nil, nil }
func (*stubborn) renew(time.Duration)                                    {}
func (*stubborn) died() <-chan struct{}                                  { return nil }

// What was called off while it was made, and can't be taken away, is still held:
// the undo finds it, and nobody says that nothing is left.
func TestCalledOffAndNotClosedIsStillHeld(t *testing.T) {
	r := &Real{held: map[slot]*held{}, leases: map[string]time.Duration{}}
	ctx, cancel := context.WithCancel(t.Context())
	s := &stubborn{}
	o := &operation{arm: func(context.Context, *held) (mechanism, func(context.Context) error, error) {
		cancel()
		return s, nil, nil
	}}
	if _, err := r.arm(ctx, o, &pb.Op{Tag: "squall/r/s/part"}); err == nil {
		t.Fatal("it was armed")
	}
	if left := r.stillThere("squall/r/s"); len(left) != 1 {
		t.Errorf("it is there, and this is told: %v", left)
	}
	if err := r.detachIf(t.Context(), func(string) bool { return true }); err != nil || s.closes != 2 {
		t.Errorf("closed %d times: %v", s.closes, err)
	}
	if left := r.stillThere("squall/r/s"); len(left) != 0 {
		t.Errorf("it is gone, and this is told: %v", left)
	}
}
