package bpf

import (
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// slots is how many faults can stand in the chain, as in chain.h.
const slots = 16

// errFull: more faults at one time than the chain has slots.
var errFull = fmt.Errorf("more than %d network faults at one time", slots)

// dispatcher is where a network namespace's packets meet the programs of faults:
// two programs on every interface, and behind them a chain of slots. Attaching
// waits for the kernel to forget the old list of programs, interface by
// interface; filling or clearing a slot does not.
type dispatcher struct {
	coll *ebpf.Collection // the entries, and the chains

	mu     sync.Mutex      // guards what follows
	links  *interfaceLinks // nil when not attached
	stays  bool            // attached though the chain is empty
	filled [slots]bool
}

// newDispatcher loads the entries. The descriptors of the chains are older than
// those of any link, so that a dying process lets go of the chains first.
func newDispatcher() (*dispatcher, error) {
	spec, err := loadEntry()
	if err != nil {
		return nil, fmt.Errorf("read the entry programs: %w", err)
	}
	for name, p := range spec.Programs {
		p.Name = kernelName(name)
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, missing("load the entry programs", err)
	}
	return &dispatcher{coll: coll}, nil
}

// attach attaches the entries in the caller's network namespace, for good.
func (d *dispatcher) attach() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.attachOnce(); err != nil {
		return err
	}
	d.stays = true
	return nil
}

// close detaches the entries.
func (d *dispatcher) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.coll.Close()
	if d.links == nil {
		return nil
	}
	return d.links.Close()
}

// holds tells whether a link is that of an entry.
func (d *dispatcher) holds(id link.ID) bool {
	d.mu.Lock()
	links := d.links
	d.mu.Unlock()
	return links != nil && links.holds(id)
}

// taken is an ErrDetached where somebody has detached an entry.
func (d *dispatcher) taken() error {
	d.mu.Lock()
	links := d.links
	d.mu.Unlock()
	if links == nil {
		return nil
	}
	return links.taken()
}

// mend attaches entries anew that somebody has detached, for a fault to come.
func (d *dispatcher) mend() error {
	if d.taken() == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.links == nil {
		return nil
	}
	return d.links.mend()
}

// take reserves a slot and sees to it that the entries are attached.
func (d *dispatcher) take() (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.attachOnce(); err != nil {
		return 0, err
	}
	for i, used := range d.filled {
		if !used {
			d.filled[i] = true
			return i, nil
		}
	}
	return 0, errFull
}

// put fills a slot, the way out first: a query must not leave whose answer
// will be dropped.
func (d *dispatcher) put(slot int, in, out *ebpf.Program) error {
	err := d.coll.Maps[entryMapChainOut].Put(uint32(slot), out)
	if err == nil {
		err = d.coll.Maps[entryMapChainIn].Put(uint32(slot), in)
	}
	if err != nil {
		return fmt.Errorf("put a program into the chain: %w", err)
	}
	return nil
}

// clear empties a slot that stays reserved.
func (d *dispatcher) clear(slot int) error {
	var errs []error
	for _, name := range []string{entryMapChainIn, entryMapChainOut} {
		err := d.coll.Maps[name].Delete(uint32(slot))
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			errs = append(errs, fmt.Errorf("clear the chain: %w", err))
		}
	}
	return errors.Join(errs...)
}

// give frees an empty slot, and detaches the entries when it was the last.
func (d *dispatcher) give(slot int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.filled[slot] = false
	if d.stays || d.filled != [slots]bool{} {
		return nil
	}
	err := d.links.Close()
	d.links = nil
	return err
}

// stay tells whether the entries stay attached while no fault is there.
func (d *dispatcher) stay() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stays
}

// attachOnce attaches the entries, unless they are. The caller holds the mutex.
func (d *dispatcher) attachOnce() error {
	if d.links != nil {
		return nil
	}
	in := hook{d.coll.Programs[entryProgEntryIn], ebpf.AttachTCXIngress}
	out := hook{d.coll.Programs[entryProgEntryOut], ebpf.AttachTCXEgress}
	x, err := linkInterfaces(func(net.Interface) []hook { return []hook{in, out} })
	if err != nil {
		return err
	}
	d.links = x
	return nil
}

// chain maps, for programs that stand in them.
func (d *dispatcher) chain() map[string]*ebpf.Map {
	return map[string]*ebpf.Map{
		entryMapChainIn:  d.coll.Maps[entryMapChainIn],
		entryMapChainOut: d.coll.Maps[entryMapChainOut],
	}
}
