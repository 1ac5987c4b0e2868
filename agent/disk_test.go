package agent

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"squall/agent/undo/undotest"
	pb "squall/proto/squall/v1"
)

// ailments are what a disk can have. Each begins at an operation and stays
// until the disk is mended.
var ailments = map[string]func(*undotest.Disk, func(undotest.Op) bool){
	"frozen": func(d *undotest.Disk, from func(undotest.Op) bool) {
		d.Freeze(func(o undotest.Op) bool { return o.Changes() && from(o) })
	},
	"hung":   (*undotest.Disk).Freeze,
	"EIO":    fails(syscall.EIO),
	"ENOSPC": fails(syscall.ENOSPC),
}

func fails(err error) func(*undotest.Disk, func(undotest.Op) bool) {
	return func(d *undotest.Disk, from func(undotest.Op) bool) {
		d.Fail(func(o undotest.Op) error {
			if from(o) {
				return err
			}
			return nil
		})
	}
}

// endings are how a fault ends while the disk is ill.
var endings = map[string]func(*couple, pb.LocalServiceClient){
	"halt": func(_ *couple, client pb.LocalServiceClient) {
		_, _ = client.Halt(context.Background(), &pb.LocalHaltRequest{Reason: "enough"})
	},
	"undo": func(_ *couple, client pb.LocalServiceClient) {
		_, _ = client.Undo(context.Background(), &pb.LocalUndoRequest{})
	},
	"its own end":         func(*couple, pb.LocalServiceClient) {},
	"the worker's death":  func(c *couple, _ pb.LocalServiceClient) { _ = c.last().Kill() },
	"a worker that hangs": func(c *couple, _ pb.LocalServiceClient) { c.last().hang() },
	"a suspended machine": func(c *couple, _ pb.LocalServiceClient) { c.fake.Suspend(time.Minute) },
}

// The disk falls ill at each operation in the life of a fault, in each way, and
// the fault ends in each way. Nobody is dark past the deadline, nothing is
// injected twice, and with the disk back everything is over and on disk.
func TestIllDiskAtEveryOperation(t *testing.T) {
	for ailment, fall := range ailments {
		for ending, end := range endings {
			t.Run(ailment+", ended by "+ending, func(t *testing.T) {
				for n := 0; n <= 9; n++ {
					marry(t, func(c *couple) { c.liveWithIllDisk(n, fall, end) })
				}
			})
		}
	}
}

const (
	illLength = 5 * time.Second
	// illDeadline is when nobody may be dark any more: the end, the grace of a
	// local step, and what a supervisor takes to notice.
	illDeadline = illLength + localGrace + 4*time.Second
)

func (c *couple) liveWithIllDisk(n int, fall func(*undotest.Disk, func(undotest.Op) bool), end func(*couple, pb.LocalServiceClient)) {
	c.t.Helper()
	synctest.Wait()
	first := len(c.disk.Ops())
	fall(c.disk, func(o undotest.Op) bool { return o.N > first+n })
	client, done := c.local.dial(c.t)
	defer done()
	injected := make(chan struct{})
	go func() {
		defer close(injected)
		_, _ = client.Inject(context.Background(), &pb.LocalInjectRequest{
			Run: "ill", ForNanos: int64(illLength), Fault: &pb.Fault{Kind: &pb.Fault_PowerOff{PowerOff: &pb.PowerOff{
				Back: &pb.WayBack{BootLimit: &pb.Span{Nanos: int64(time.Second)}},
			}}},
		})
	}()
	time.Sleep(time.Second)
	began := time.Now()
	end(c, client)
	time.Sleep(illDeadline - time.Since(began))
	c.wantBright(fmt.Sprintf("ill from operation %d, before the disk is mended", n))
	c.disk.Thaw()
	c.disk.Fail(nil)
	<-injected
	time.Sleep(20 * time.Second)
	c.wantBright(fmt.Sprintf("ill from operation %d, with the disk back", n))
	for _, s := range c.status().GetSteps() {
		if s.GetState() != reverted && s.GetState() != pb.StepState_STEP_STATE_REFUSED || len(s.GetResidue()) > 0 {
			c.t.Errorf("ill from operation %d: %v", n, s)
		}
	}
}

// wantBright fails while anything is dark, or was made so twice.
func (c *couple) wantBright(when string) {
	c.t.Helper()
	if acting := c.fake.Acting(); !c.fake.Runs("web") || len(acting) > 0 {
		c.t.Errorf("%s: web runs: %t, acting: %v", when, c.fake.Runs("web"), acting)
	}
	kills := 0
	for _, e := range c.fake.Events() {
		if e.What == "kill" {
			kills++
		}
	}
	if kills > 1 {
		c.t.Errorf("%s: injected %d times", when, kills)
	}
}

// last is the worker that lives now.
func (c *couple) last() *life {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lives[len(c.lives)-1]
}
