package fleet

import (
	"slices"
	"sync"

	pb "squall/proto/squall/v1"
)

// maxAcks bounds the acknowledgements that wait; one that is dropped makes the
// agent send its windows again, which does no harm.
const maxAcks = 256

// maxTries bounds the plans that wait to ask one agent for attempts of probes.
const maxTries = 16

// outbox is what waits to be sent to one agent. It is bounded because only the
// newest of each kind is worth sending; a slow reader costs nothing but itself.
// Halts go first, then orders, then the answers to pings.
type outbox struct {
	wake signal

	mu      sync.Mutex // guards all below
	halts   []*pb.HaltLatch
	order   *pb.Order
	pong    *pb.Pong
	sets    []*pb.AddressSet
	welcome *pb.Welcome
	acks    []uint64
	tries   []*pb.TryProbes
}

func newOutbox() *outbox { return &outbox{wake: make(signal, 1)} }

func (o *outbox) put(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
	o.wake.set()
}

func (o *outbox) halt(l *pb.HaltLatch) {
	o.put(func() {
		for _, known := range o.halts {
			if known.GetId() == l.GetId() {
				return
			}
		}
		o.halts = append(o.halts, l)
	})
}

func (o *outbox) setOrder(v *pb.Order) { o.put(func() { o.order = v }) }
func (o *outbox) setPong(v *pb.Pong)   { o.put(func() { o.pong = v }) }
func (o *outbox) greet(v *pb.Welcome)  { o.put(func() { o.welcome = v }) }

// addSet is for one that may wait already.
func (o *outbox) addSet(v *pb.AddressSet) {
	o.put(func() {
		if !slices.Contains(o.sets, v) {
			o.sets = append(o.sets, v)
		}
	})
}

func (o *outbox) ack(batch uint64) {
	o.put(func() {
		if len(o.acks) < maxAcks {
			o.acks = append(o.acks, batch)
		}
	})
}

// try asks for attempts of probes; false means that too many wait already.
func (o *outbox) try(v *pb.TryProbes) (queued bool) {
	o.put(func() {
		if queued = len(o.tries) < maxTries; queued {
			o.tries = append(o.tries, v)
		}
	})
	return queued
}

// drain empties the outbox, the most urgent first.
func (o *outbox) drain() []*pb.SessionResponse {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []*pb.SessionResponse
	if o.welcome != nil {
		out = append(out, &pb.SessionResponse{Kind: &pb.SessionResponse_Welcome{Welcome: o.welcome}})
	}
	for _, l := range o.halts {
		out = append(out, &pb.SessionResponse{Kind: &pb.SessionResponse_Halt{Halt: l}})
	}
	if o.order != nil {
		out = append(out, &pb.SessionResponse{Kind: &pb.SessionResponse_Order{Order: o.order}})
	}
	if o.pong != nil {
		out = append(out, &pb.SessionResponse{Kind: &pb.SessionResponse_Pong{Pong: o.pong}})
	}
	for _, set := range o.sets { // each by itself: of a large region, one is a large message
		one := &pb.AddressSets{Sets: []*pb.AddressSet{set}}
		out = append(out, &pb.SessionResponse{Kind: &pb.SessionResponse_AddressSets{AddressSets: one}})
	}
	for _, batch := range o.acks {
		out = append(out, &pb.SessionResponse{Kind: &pb.SessionResponse_WindowsAck{WindowsAck: &pb.WindowsAck{Batch: batch}}})
	}
	for _, t := range o.tries {
		out = append(out, &pb.SessionResponse{Kind: &pb.SessionResponse_TryProbes{TryProbes: t}})
	}
	o.halts, o.order, o.pong, o.sets, o.welcome, o.acks, o.tries = nil, nil, nil, nil, nil, nil, nil
	return out
}
