package bpf

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// passWhenKilled makes all packets pass from the very kill of this process or
// of its parent. Where the kernel can't, they pass when this one's descriptors
// are closed, a few milliseconds later.
func (l *Line) passWhenKilled() error {
	err := l.watchKills()
	if errors.Is(err, ErrUnsupported) {
		return nil
	}
	return err
}

// watchKills attaches the program that watches for kills.
func (l *Line) watchKills() error {
	coll, err := l.loadKill()
	if err != nil {
		return err
	}
	defer coll.Close() // the link keeps the program
	watch, err := link.AttachRawTracepoint(link.RawTracepointOptions{
		Name: "signal_generate", Program: coll.Programs[killProgLineKilled],
	})
	if err != nil {
		return missing("watch for kills", err)
	}
	l.parts = append(l.parts, watch)
	return pointOut(os.Getpid(), os.Getppid())
}

// loadKill loads the program that watches for kills.
func (l *Line) loadKill() (*ebpf.Collection, error) {
	spec, err := loadKill()
	if err != nil {
		return nil, fmt.Errorf("read the programs: %w", err)
	}
	var ns unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &ns); err != nil {
		return nil, fmt.Errorf("find the process namespace: %w", err)
	}
	err = setVars(spec, map[string]any{
		killVarPidnsDev: uint64(unix.Major(ns.Dev))<<20 | uint64(unix.Minor(ns.Dev)), // as the kernel has it
		killVarPidnsIno: ns.Ino,
		killVarSelf:     uint32(os.Getpid()),
	})
	if err != nil {
		return nil, err
	}
	for name, p := range spec.Programs {
		p.Name = kernelName(name)
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		MapReplacements: map[string]*ebpf.Map{killMapBeat: l.coll.Maps[delayMapBeat]},
	})
	if err != nil {
		return nil, missing("load a BPF program", err)
	}
	return coll, nil
}

// pointOut shows processes to the program, by a signal that does nothing.
func pointOut(pids ...int) error {
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGURG); err != nil {
			return fmt.Errorf("point out process %d: %w", pid, err)
		}
	}
	return nil
}
