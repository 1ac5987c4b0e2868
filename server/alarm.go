package server

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	pb "squall/proto/squall/v1"
)

const (
	// patience is how long a server that was told of a halt waits before it
	// proposes it too: whoever was told first knows who pulled the lever.
	patience = time.Second
	// maxAlarms bounds the halts that wait for a quorum. Agents are told of
	// every one all the same.
	maxAlarms = 64
)

// alarm is a halt that was heard and is not known to be committed.
type alarm struct {
	latch    *pb.HaltLatch
	by       *pb.Principal
	patience time.Duration
	settled  chan struct{} // closed when it is committed
	// Once it is settled: the index of its first commit, and whether the log had
	// it before this server proposed it.
	index    uint64
	repeated bool
}

// alarms are the halts heard here. While there is one, new runs are refused,
// quorum or not.
type alarms struct {
	fresh chan *alarm

	mu    sync.Mutex // guards heard
	heard map[string]*alarm
}

func newAlarms() *alarms {
	return &alarms{fresh: make(chan *alarm, maxAlarms), heard: make(map[string]*alarm)}
}

// hear remembers an alarm. It returns the one that is waited for under its id,
// nil where there are too many.
func (a *alarms) hear(heard *alarm) *alarm {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.heard[heard.latch.GetId()]; known != nil {
		return known
	}
	if len(a.heard) >= maxAlarms {
		return nil
	}
	heard.settled = make(chan struct{})
	a.heard[heard.latch.GetId()] = heard
	a.fresh <- heard // there is room: as many as may be heard
	return heard
}

// all are the halts that are not settled.
func (a *alarms) all() []*alarm {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Values(a.heard))
}

// latches are the halts that are not settled.
func (a *alarms) latches() []*pb.HaltLatch {
	var latches []*pb.HaltLatch
	for _, heard := range a.all() {
		latches = append(latches, heard.latch)
	}
	return latches
}

func (a *alarms) settle(heard *alarm, o *pb.Outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	heard.index, heard.repeated = o.GetIndex(), o.GetRepeatedCommand()
	delete(a.heard, heard.latch.GetId())
	close(heard.settled)
}

// settleAlarms proposes every halt that was heard until it is committed, with
// or without the client that asked for it.
func (s *Server) settleAlarms(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	for {
		select {
		case heard := <-s.alarms.fresh:
			work.Go(func() { s.settleAlarm(ctx, heard) })
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Server) settleAlarm(ctx context.Context, heard *alarm) {
	select {
	case <-time.After(heard.patience):
	case <-ctx.Done():
		return
	}
	latch := heard.latch
	outcome, err := s.Propose(ctx, &pb.Command{
		Id: haltCommand(latch.GetId()), By: heard.by,
		Kind: &pb.Command_Halt{Halt: &pb.Halt{Id: latch.GetId(), Reason: latch.GetReason()}},
	})
	if err != nil {
		s.log.Error("halt is heard and not committed", "halt", latch.GetId(), "cause", err)
		return
	}
	s.alarms.settle(heard, outcome)
	if outcome.GetRepeatedCommand() {
		s.fleet.Remind() // it may have been let go of, and agents have latched it again
	}
}

// unrecorded are the halts heard here that the state does not know yet. A
// server that has not got its own word in, while another has, must not tell of
// a halt that a resume has let go of.
func (s *Server) unrecorded() []*pb.HaltLatch {
	view := s.machine.View()
	return slices.DeleteFunc(s.alarms.latches(), func(l *pb.HaltLatch) bool { return view.PulledAt(l.GetId()) != 0 })
}

// engaged is one of them, or nil.
func (s *Server) engaged() *pb.HaltLatch {
	for _, latch := range s.unrecorded() {
		return latch
	}
	return nil
}

// heardFromAgent takes a halt that an agent latched without a quorum: it must
// be committed before it can be resumed. A server let it in and sealed it; an
// agent's bare word would pull the whole region's lever.
func (s *Server) heardFromAgent(latch *pb.HaltLatch) {
	if s.machine.View().PulledAt(latch.GetId()) != 0 {
		return // its order tells what became of it
	}
	by, err := s.cfg.Bundle.CheckSeal(latch.GetSeal(), servers, sealPurpose, latch.GetId(), latch.GetReason())
	if err != nil {
		s.log.Warn("an agent tells of a halt that no server let in; it stays that host's own", "halt", latch.GetId(), "cause", err)
		return
	}
	s.alarms.hear(&alarm{
		latch: &pb.HaltLatch{Id: latch.GetId(), Engaged: true, Reason: latch.GetReason(), Seal: latch.GetSeal()},
		by:    by.Principal(),
	})
}

// sealPurpose keeps a halt's seal from passing for another.
const sealPurpose = "halt"

// servers are who may seal a halt.
var servers = []pb.Role{pb.Role_ROLE_SERVER}

// seal is this server's for a halt that it lets in. Without one the halt still
// reverts everything; hosts just can't carry it to another server.
func (s *Server) seal(latch *pb.HaltLatch) *pb.HaltSeal {
	seal, err := s.cfg.Bundle.Seal(sealPurpose, latch.GetId(), latch.GetReason())
	if err != nil {
		s.log.Error("halt is not sealed", "halt", latch.GetId(), "cause", err)
	}
	return seal
}

func haltCommand(id string) string { return "halt/" + id }
