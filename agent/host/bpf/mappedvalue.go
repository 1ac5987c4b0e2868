package bpf

import (
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// mappedValue is one number that programs read and we store without a system call:
// the first value of an array that is mapped into this process.
type mappedValue struct {
	page []byte
	word *atomic.Uint64
}

// mapValue maps the array. The mapping outlives the map's descriptor.
func mapValue(m *ebpf.Map) (*mappedValue, error) {
	page, err := unix.Mmap(m.FD(), 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, missing("map a BPF array", err)
	}
	return &mappedValue{page, (*atomic.Uint64)(unsafe.Pointer(&page[0]))}, nil
}

// set stores a boot time.
func (v *mappedValue) set(t time.Duration) { v.word.Store(uint64(max(0, t))) }

// close unmaps the value. It must not be used afterwards.
func (v *mappedValue) close() error {
	if err := unix.Munmap(v.page); err != nil {
		return fmt.Errorf("unmap a BPF array: %w", err)
	}
	return nil
}
