// Package undo makes every change reversible before it is made: a write-ahead
// journal of undos, and the runner that injects, reverts and recovers from it.
//
// The invariant: when a change has been made, its undo is on disk. So normal
// end, abort, halt, lost lease, crash and reboot all run the same undo from the
// same journal, and nothing needs to be remembered by a process. What takes
// away never waits for that disk.
package undo

import "errors"

var (
	// ErrFull says that the journal, or the disk under it, has no room for a
	// new fault. What is under way can still be undone.
	ErrFull = errors.New("no room for a new fault")
	// ErrOnce says that the step has already been injected on this host.
	ErrOnce = errors.New("step was injected before")
	// ErrBehind says that an order is older than one that was accepted.
	ErrBehind = errors.New("order is older than the one held")
	// ErrClosed says that the journal is closed.
	ErrClosed = errors.New("journal is closed")
	// ErrDamaged says that a part of the journal could not be read, and nobody
	// has confirmed yet that new faults may begin all the same.
	ErrDamaged = errors.New("journal is damaged")
	// ErrDisk says that the journal's disk does not answer, or has not been read yet.
	ErrDisk = errors.New("the journal's disk does not answer")
)
