package bpf

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Loader is opened once in a worker process. Its methods may be called from any goroutine.
type Loader struct {
	offset     time.Duration
	token      uint16
	dispatcher *dispatcher
	spares     spares
	servers    *ebpf.Map // who is exempt
}

// ProgramPrefix begins the kernel's name of every program that we attach.
const ProgramPrefix = "squall_"

// kernelName is the prefix and as much of a program's name as shows: the
// library gives a name of 15 bytes, the kernel's most, back without the prefix.
func kernelName(program string) string {
	name := ProgramPrefix + program
	return name[:min(len(name), 14)]
}

// Open loads what all attachments share and reads the kernel's boot time.
func Open() (*Loader, error) {
	spec, err := loadBoot()
	if err != nil {
		return nil, fmt.Errorf("read the boot program: %w", err)
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, missing("load a BPF program", err)
	}
	defer coll.Close()
	offset, err := bootOffset(coll)
	if err != nil {
		return nil, err
	}
	d, err := newDispatcher()
	if err != nil {
		return nil, err
	}
	servers, err := newServers()
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return &Loader{offset: offset, token: newToken(), dispatcher: d, servers: servers}, nil
}

// newToken is what packets that were held carry: see held.h.
func newToken() uint16 { return uint16(1+rand.N(1<<10-1)) << 6 }

// Attach puts the entries of all network faults on every interface of the
// caller's network namespace, now and as interfaces appear, until Close: a
// fault then takes microseconds. Without it the first fault does so, and the
// last one ends it.
func (l *Loader) Attach() error { return l.dispatcher.attach() }

// Holds tells whether a BPF link is that of an entry of this loader, which stands
// on an interface for as long as the loader wants it.
func (l *Loader) Holds(id link.ID) bool { return l.dispatcher.holds(id) }

// Close detaches what Attach attached. Attachments are to be closed before.
func (l *Loader) Close() error {
	return errors.Join(l.spares.close(), l.dispatcher.close(), l.servers.Close())
}

// Boot is the time since boot as programs in the kernel read it.
func (l *Loader) Boot() time.Duration { return processBoot() + l.offset }

// BootOffset is the kernel's boot time minus the process's: not 0 in a time namespace.
func (l *Loader) BootOffset() time.Duration { return l.offset }

// load prepares a collection whose gate is closed, with maps shared by name, and
// the set of servers where there is an exemption.
func (l *Loader) load(spec *ebpf.CollectionSpec, shared map[string]*ebpf.Map) (*ebpf.Collection, error) {
	for name, p := range spec.Programs {
		p.Name = kernelName(name)
	}
	if v, ok := spec.Variables[delayVarHeldToken]; ok {
		if err := v.Set(l.token); err != nil {
			return nil, fmt.Errorf("set the token of held packets: %w", err)
		}
	}
	if _, ok := spec.Maps[silenceMapServers]; ok {
		shared[silenceMapServers] = l.servers
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: shared})
	if err != nil {
		return nil, missing("load a BPF program", err)
	}
	return coll, nil
}

// setGate says when the programs of a collection act.
func setGate(coll *ebpf.Collection, g Gate) error {
	v := gateValue{uint64(max(0, g.Start)), uint64(max(0, g.End)), flag(g.IgnoreLease), 0}
	if err := coll.Maps[bootMapGate].Put(uint32(0), v); err != nil {
		return fmt.Errorf("set the gate: %w", err)
	}
	return nil
}

// gateValue is a gate as programs have it.
type gateValue struct {
	Start, End       uint64
	IgnoreLease, Gap uint32
}

// bootOffset takes the narrowest of a few readings. Both sides read one clock,
// so a reading that falls between the process's own two means no offset at all.
func bootOffset(coll *ebpf.Collection) (time.Duration, error) {
	best, offset := time.Duration(math.MaxInt64), time.Duration(0)
	for range 5 {
		before := processBoot()
		kernel, err := kernelBoot(coll)
		after := processBoot()
		if err != nil {
			return 0, err
		}
		if before <= kernel && kernel <= after {
			return 0, nil
		}
		if after-before < best {
			best, offset = after-before, kernel-(before+after)/2
		}
	}
	return offset, nil
}

// kernelBoot runs the program that reads boot time.
func kernelBoot(coll *ebpf.Collection) (time.Duration, error) {
	_, err := coll.Programs[bootProgReadBoot].Run(&ebpf.RunOptions{Data: make([]byte, 64)})
	if err != nil {
		return 0, missing("run a BPF program", err)
	}
	var now uint64
	if err := coll.Variables[bootVarBootNow].Get(&now); err != nil {
		return 0, fmt.Errorf("read the kernel's boot time: %w", err)
	}
	return time.Duration(now), nil
}

// processBoot is boot time as this process's time namespace has it.
func processBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err) // the clock is older than any kernel with BPF
	}
	return time.Duration(ts.Nano())
}

// setVars sets constants of programs before they are loaded.
func setVars(spec *ebpf.CollectionSpec, values map[string]any) error {
	for name, v := range values {
		if err := spec.Variables[name].Set(v); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// flag is a bool as programs have it.
func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// missing says what the kernel could not do, and marks what it never will.
func missing(what string, err error) error {
	switch {
	case errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%s: %w: %w", what, ErrUnsupported, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%s: %w: needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: %w", what, ErrUnsupported, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
