package host

import (
	"context"
	"sync"

	pb "squall/proto/squall/v1"
)

// trials is what was found by trying every mechanism, once in the life of a
// host. Trying takes the kernel's network lock many times over; nobody waits
// for it who only wants to know what runs here.
type trials struct {
	run func(context.Context) []*pb.Ability

	once sync.Once
	stop context.CancelFunc
	done chan struct{}
	// found may be read when done is closed.
	found []*pb.Ability
}

// known begins the trials when it is first asked, and has no answer until they
// are over.
func (t *trials) known() []*pb.Ability {
	t.begin()
	select {
	case <-t.done:
		return t.found
	default:
		return nil
	}
}

func (t *trials) begin() {
	t.once.Do(func() {
		var ctx context.Context
		ctx, t.stop = context.WithTimeout(context.Background(), doctorTimeout)
		t.done = make(chan struct{})
		go func() {
			defer close(t.done)
			t.found = t.run(ctx)
		}()
	})
}

// end waits for trials that are under way.
func (t *trials) end() {
	t.once.Do(func() {})
	if t.done != nil {
		t.stop()
		<-t.done
	}
}
