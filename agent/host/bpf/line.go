package bpf

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/cilium/ebpf"

	pb "squall/proto/squall/v1"
)

// LineOrder is what a worker tells its delay line, once.
type LineOrder struct {
	// Op is a DelayLine in protobuf's binary form.
	Op []byte
	// BootOffset is the worker's.
	BootOffset time.Duration
}

// LineReport is the delay line's answer, to the order and to each later line.
type LineReport struct {
	// Error says why it could not be armed. Empty: it is.
	Error string `json:",omitempty"`
	// Unsupported marks an error that names a missing piece of the kernel.
	Unsupported bool              `json:",omitempty"`
	Counters    map[string]uint64 `json:",omitempty"`
}

// StampSize is the space before a frame that a TAP of the line gives, in which
// the host's byte order has the boot time, in ns, at which it was turned off.
const StampSize = 8

// LineLease is the descriptor by which a delay line inherits the lease map.
const LineLease = 3

// lineCounters are in the order of the enum in delay.bpf.c.
var lineCounters = []string{"delayed_out", "delayed_in", "exempt", "expired"}

// Line is the kernel's half of a delay line: programs that turn packets off to
// TAPs as long as its beat is ahead of the clock. One process holds it.
type Line struct {
	kit    *Kit
	op     *pb.DelayLine
	x      exempt
	mark   uint32
	beat   *cell
	shared map[string]*ebpf.Map
	parts  closers

	devices int
	coll    *ebpf.Collection
}

// OpenLine prepares a line under the lease in an inherited map. Packets that
// are put back carry the mark, which no other socket of the host may use.
func OpenLine(op *pb.DelayLine, leaseFD int, offset time.Duration, mark uint32) (*Line, error) {
	lease, err := ebpf.NewMapFromFD(leaseFD)
	if err != nil {
		return nil, fmt.Errorf("open the lease: %w", err)
	}
	x, err := exemptOf(op.GetExempt())
	if err != nil {
		return nil, errors.Join(err, lease.Close())
	}
	l := &Line{kit: &Kit{lease: lease, offset: offset}, op: op, x: x, mark: mark}
	if l.coll, err = l.load(0, 0, 0); err != nil {
		return nil, errors.Join(err, lease.Close())
	}
	if err := l.share(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// share makes the first collection's maps those of all, and fills them.
func (l *Line) share() error {
	l.shared = map[string]*ebpf.Map{}
	for _, name := range []string{
		delayMapBeat, delayMapPeers, delayMapServers, delayMapManagement,
		delayMapCounters, delayMapBodiesIn, delayMapBodiesOut,
	} {
		l.shared[name] = l.coll.Maps[name]
	}
	var err error
	if l.beat, err = mapCell(l.coll.Maps[delayMapBeat]); err != nil {
		return err
	}
	peers, err := peersOf(l.op)
	if err != nil {
		return err
	}
	if err := fill(l.coll.Maps[delayMapPeers], peers); err != nil {
		return err
	}
	if err := l.x.apply(l.coll); err != nil {
		return err
	}
	return l.passWhenKilled()
}

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

// load loads the programs of one device; 0 is no TAP.
func (l *Line) load(device, tapOut, tapIn int) (*ebpf.Collection, error) {
	spec, err := loadDelay()
	if err != nil {
		return nil, fmt.Errorf("read the programs: %w", err)
	}
	sized(spec, delayMapPeers, len(l.op.GetPrefix()))
	if err := l.x.declare(spec); err != nil {
		return nil, err
	}
	err = setVars(spec, map[string]any{
		delayVarBody:   uint32(l.devices + 1),
		delayVarDevice: uint32(device), delayVarTapOut: uint32(tapOut), delayVarTapIn: uint32(tapIn),
		delayVarReturnMark: l.mark,
	})
	if err != nil {
		return nil, err
	}
	return l.kit.load(spec, gateOf(l.op.GetGate()), l.shared)
}

// MaxDevices is how many devices a line can be connected to.
const MaxDevices = 255

// Connect turns packets of a device off to TAPs, named by interface index; 0
// leaves that direction alone. At most MaxDevices devices.
func (l *Line) Connect(device net.Interface, tapOut, tapIn int) error {
	if l.devices == MaxDevices {
		return fmt.Errorf("connect %s: %d devices are connected already", device.Name, l.devices)
	}
	coll, err := l.load(device.Index, tapOut, tapIn)
	if err != nil {
		return err
	}
	defer coll.Close() // links and maps keep the programs
	l.devices++
	slot := uint32(l.devices)
	if tapIn != 0 {
		if err := l.connectIn(coll, device, tapIn, slot); err != nil {
			return err
		}
	}
	if tapOut == 0 {
		return nil
	}
	if err := l.shared[delayMapBodiesOut].Put(slot, coll.Programs[delayProgDelayOut]); err != nil {
		return fmt.Errorf("connect %s: %w", device.Name, err)
	}
	return l.put(device, hook{coll.Programs[delayProgLineOut], ebpf.AttachTCXEgress})
}

// connectIn attaches the way back in before the way off.
func (l *Line) connectIn(coll *ebpf.Collection, device net.Interface, tapIn int, slot uint32) error {
	if err := l.shared[delayMapBodiesIn].Put(slot, coll.Programs[delayProgDelayIn]); err != nil {
		return fmt.Errorf("connect %s: %w", device.Name, err)
	}
	back := hook{coll.Programs[delayProgLineReturn], ebpf.AttachTCXIngress}
	if err := l.put(net.Interface{Index: tapIn, Name: "the TAP of " + device.Name}, back); err != nil {
		return err
	}
	return l.put(device, hook{coll.Programs[delayProgLineIn], ebpf.AttachTCXIngress})
}

// put attaches a program after all others: what those drop is not held.
func (l *Line) put(i net.Interface, h hook) error {
	k, err := attach(i, h, tail)
	if err == nil {
		l.parts = append(l.parts, k)
	}
	return err
}

// Boot is the time since boot as the line's programs read it.
func (l *Line) Boot() time.Duration { return l.kit.Boot() }

// Beat keeps packets turning off for this much longer.
func (l *Line) Beat(ahead time.Duration) { l.beat.set(l.kit.Boot() + ahead) }

// Pass lets all packets pass from now on, until the next beat.
func (l *Line) Pass() { l.beat.set(0) }

// Counters are delayed_out, delayed_in, exempt, and expired: packets that
// passed because the beat had stopped.
func (l *Line) Counters() (map[string]uint64, error) { return readCounters(l.coll, lineCounters) }

// Close detaches the line.
func (l *Line) Close() error {
	errs := []error{l.parts.Close(), l.kit.lease.Close()}
	if l.beat != nil {
		errs = append(errs, l.beat.close())
	}
	l.coll.Close()
	return errors.Join(errs...)
}
