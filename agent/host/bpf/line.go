package bpf

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	pb "squall/proto/squall/v1"
)

// LineOrder is what a worker tells its delay line, once.
type LineOrder struct {
	// Op is an operation of that kind in protobuf's binary form.
	Op []byte
	// BootOffset is the worker's.
	BootOffset time.Duration
	// Token is what packets that were held carry, the same for all lines of a
	// worker: a packet is held once.
	Token uint16
}

// LineReport is the delay line's answer, to the order and to each later line.
type LineReport struct {
	// Error says why it could not be armed. Empty: it is.
	Error string `json:",omitempty"`
	// Unsupported marks an error that names a missing piece of the kernel.
	Unsupported bool              `json:",omitempty"`
	Counters    map[string]uint64 `json:",omitempty"`
}

// The descriptors by which a delay line inherits its lease, and the set of servers.
const (
	lineLease   = 3
	lineServers = 4
)

// lineCounters are in the order of the enum in delay.bpf.c.
var lineCounters = []string{"delayed_out", "delayed_in", "exempt", "expired"}

// Line is the kernel's half of a delay line: programs that turn packets off to
// a TAP as long as its beat is ahead of the clock, and send on what comes back
// from there. One process holds it.
type Line struct {
	loader *Loader
	gate   *pb.Gate
	lease  *ebpf.Map
	op     *pb.DelayLine
	beat   *mappedValue
	coll   *ebpf.Collection
	parts  closers

	mu     sync.Mutex // guards hooked, which grows with the interfaces
	hooked []*hooked
}

// OpenLine prepares a line as ordered, under the lease that this process has
// inherited, between interfaces that are yet to be connected and a TAP, by its index.
func OpenLine(o LineOrder, op *pb.Op, tap int) (*Line, error) {
	lease, err := ebpf.NewMapFromFD(lineLease)
	if err != nil {
		return nil, fmt.Errorf("open the lease: %w", err)
	}
	servers, err := ebpf.NewMapFromFD(lineServers)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the set of servers: %w", err), lease.Close())
	}
	l := &Line{
		loader: &Loader{offset: o.BootOffset, token: o.Token, servers: servers},
		gate:   op.GetGate(), lease: lease, op: op.GetDelayLine(),
	}
	if err := l.load(tap); err != nil {
		return nil, errors.Join(err, lease.Close(), servers.Close())
	}
	if err := l.prepare(tap); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// load loads the programs and tells them whom they are about.
func (l *Line) load(tap int) error {
	x, err := exemptOf(l.op.GetExempt())
	if err != nil {
		return err
	}
	peers, err := peersOf(l.op)
	if err != nil {
		return err
	}
	spec, err := loadDelay()
	if err != nil {
		return fmt.Errorf("read the programs: %w", err)
	}
	sized(spec, delayMapPeers, len(peers))
	if err := x.declare(spec); err != nil {
		return err
	}
	if err := setVars(spec, map[string]any{delayVarTap: uint32(tap)}); err != nil {
		return err
	}
	if l.coll, err = l.loader.load(spec, map[string]*ebpf.Map{delayMapLease: l.lease}); err != nil {
		return err
	}
	if err := errors.Join(setGate(l.coll, gateOf(l.gate)), fill(l.coll.Maps[delayMapPeers], peers), l.loader.exempt(x.servers...), x.apply(l.coll)); err != nil {
		l.coll.Close()
		return err
	}
	return nil
}

// prepare attaches the way back, before there is a way off.
func (l *Line) prepare(tap int) (err error) {
	if l.beat, err = mapValue(l.coll.Maps[delayMapBeat]); err != nil {
		return err
	}
	for bodies, program := range map[string]string{
		delayMapBodiesIn: delayProgDelayIn, delayMapBodiesOut: delayProgDelayOut,
	} {
		if err := l.coll.Maps[bodies].Put(lineBody, l.coll.Programs[program]); err != nil {
			return fmt.Errorf("put a program in place: %w", err)
		}
	}
	back := hook{l.coll.Programs[delayProgLineReturn], ebpf.AttachTCXIngress}
	if err := l.put(net.Interface{Index: tap, Name: "the TAP"}, back); err != nil {
		return err
	}
	return l.passWhenKilled()
}

// lineBody is where the programs stand in their arrays, as in delay.bpf.c.
const lineBody = uint32(1)

// peersOf reads the prefixes of an operation. Without any, all are peers.
func peersOf(op *pb.DelayLine) ([]prefixKey, error) {
	if len(op.GetPrefix()) == 0 {
		return []prefixKey{{}}, nil
	}
	peers := make([]prefixKey, 0, len(op.GetPrefix()))
	for _, s := range op.GetPrefix() {
		p, err := prefixOf(s)
		if err != nil {
			return nil, err
		}
		peers = append(peers, p)
	}
	return peers, nil
}

// Connect turns packets of an interface off to the TAP, in the direction of the
// operation: on their way out where it names none.
func (l *Line) Connect(device net.Interface) error {
	in, out := ways(l.op.GetDirection())
	if in {
		if err := l.put(device, hook{l.coll.Programs[delayProgLineIn], ebpf.AttachTCXIngress}); err != nil {
			return err
		}
	}
	if out {
		return l.put(device, hook{l.coll.Programs[delayProgLineOut], ebpf.AttachTCXEgress})
	}
	return nil
}

// ways tells which ways a direction has.
func ways(d pb.Direction) (in, out bool) {
	in = d == pb.Direction_DIRECTION_IN || d == pb.Direction_DIRECTION_BOTH
	return in, d != pb.Direction_DIRECTION_IN
}

// put attaches a program after all others: what those drop is not held.
func (l *Line) put(i net.Interface, h hook) error {
	k, err := attach(i, h, tail)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hooked = append(l.hooked, k)
	return nil
}

// Taken is an ErrDetached where somebody has taken a program off the TAP or off an
// interface that is still there. It must run in the line's network namespace.
func (l *Line) Taken() error {
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("look at interfaces: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, h := range l.hooked {
		errs = append(errs, h.taken(sock))
	}
	return errors.Join(append(errs, unix.Close(sock))...)
}

// detach takes all programs off.
func (l *Line) detach() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, h := range l.hooked {
		errs = append(errs, h.Close())
	}
	return errors.Join(errs...)
}

// Boot is the time since boot as the line's programs read it.
func (l *Line) Boot() time.Duration { return l.loader.Boot() }

// Beat keeps packets turning off for this much longer.
func (l *Line) Beat(ahead time.Duration) { l.beat.set(l.loader.Boot() + ahead) }

// Pass lets all packets pass from now on, until the next beat.
func (l *Line) Pass() { l.beat.set(0) }

// Counters are delayed_out, delayed_in, exempt, and expired: packets that
// passed because the beat had stopped.
func (l *Line) Counters() (map[string]uint64, error) { return readCounters(l.coll, lineCounters) }

// Close detaches the line.
func (l *Line) Close() error {
	errs := []error{l.detach(), l.parts.Close(), l.lease.Close(), l.loader.servers.Close()}
	if l.beat != nil {
		errs = append(errs, l.beat.close())
	}
	l.coll.Close()
	return errors.Join(errs...)
}
