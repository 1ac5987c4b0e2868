package bpf

import (
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/cilium/ebpf"
)

// slots is how many faults can stand in the chain, as in chain.h.
const slots = 16

// errFull: more faults at one time than the chain has slots.
var errFull = fmt.Errorf("more than %d network faults at one time", slots)

// points are where a network namespace's packets meet the programs of faults:
// two programs on every interface, and behind them a chain of slots. Attaching
// waits for the kernel to forget the old list of programs, interface by
// interface; filling or clearing a slot does not.
type points struct {
	coll *ebpf.Collection // the entries, and the chains

	mu     sync.Mutex // guards what follows
	fan    *fan       // nil when not attached
	stays  bool       // attached though the chain is empty
	filled [slots]bool
}

// newPoints loads the entries. The descriptors of the chains are older than
// those of any link, so that a dying process lets go of the chains first.
func newPoints() (*points, error) {
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
	return &points{coll: coll}, nil
}

// attach attaches the entries in the caller's network namespace, for good.
func (p *points) attach() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.spread(); err != nil {
		return err
	}
	p.stays = true
	return nil
}

// close detaches the entries.
func (p *points) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.coll.Close()
	if p.fan == nil {
		return nil
	}
	return p.fan.Close()
}

// take reserves a slot and sees to it that the entries are attached.
func (p *points) take() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.spread(); err != nil {
		return 0, err
	}
	for i, used := range p.filled {
		if !used {
			p.filled[i] = true
			return i, nil
		}
	}
	return 0, errFull
}

// put fills a slot, the way out first: a query must not leave whose answer
// will be dropped.
func (p *points) put(slot int, in, out *ebpf.Program) error {
	err := p.coll.Maps[entryMapChainOut].Put(uint32(slot), out)
	if err == nil {
		err = p.coll.Maps[entryMapChainIn].Put(uint32(slot), in)
	}
	if err != nil {
		return fmt.Errorf("put a program into the chain: %w", err)
	}
	return nil
}

// clear empties a slot that stays reserved.
func (p *points) clear(slot int) error {
	var errs []error
	for _, name := range []string{entryMapChainIn, entryMapChainOut} {
		err := p.coll.Maps[name].Delete(uint32(slot))
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			errs = append(errs, fmt.Errorf("clear the chain: %w", err))
		}
	}
	return errors.Join(errs...)
}

// give frees an empty slot, and detaches the entries when it was the last.
func (p *points) give(slot int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.filled[slot] = false
	if p.stays || p.filled != [slots]bool{} {
		return nil
	}
	err := p.fan.Close()
	p.fan = nil
	return err
}

// stay tells whether the entries stay attached while no fault is there.
func (p *points) stay() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stays
}

// spread attaches the entries once. The caller holds the mutex.
func (p *points) spread() error {
	if p.fan != nil {
		return nil
	}
	in := hook{p.coll.Programs[entryProgEntryIn], ebpf.AttachTCXIngress}
	out := hook{p.coll.Programs[entryProgEntryOut], ebpf.AttachTCXEgress}
	f, err := spread(func(net.Interface) []hook { return []hook{in, out} })
	if err != nil {
		return err
	}
	p.fan = f
	return nil
}

// chain maps, for programs that stand in them.
func (p *points) chain() map[string]*ebpf.Map {
	return map[string]*ebpf.Map{
		entryMapChainIn:  p.coll.Maps[entryMapChainIn],
		entryMapChainOut: p.coll.Maps[entryMapChainOut],
	}
}
