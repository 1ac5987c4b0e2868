package bpf

import (
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// cell is one number that programs read and we store without a system call:
// the first value of an array that is mapped into this process.
type cell struct {
	page []byte
	word *atomic.Uint64
}

// mapCell maps the array. The mapping outlives the map's descriptor.
func mapCell(m *ebpf.Map) (*cell, error) {
	page, err := unix.Mmap(m.FD(), 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, missing("map a BPF array", err)
	}
	return &cell{page, (*atomic.Uint64)(unsafe.Pointer(&page[0]))}, nil
}

// set stores a boot time.
func (c *cell) set(t time.Duration) { c.word.Store(uint64(max(0, t))) }

// close unmaps the cell. It must not be used afterwards.
func (c *cell) close() error {
	if err := unix.Munmap(c.page); err != nil {
		return fmt.Errorf("unmap a BPF array: %w", err)
	}
	return nil
}
