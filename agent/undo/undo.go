// Package undo makes every change reversible before it is made: a write-ahead
// journal of undos, and the runner that injects, reverts and recovers from it.
//
// The invariant: when a change has been made, its undo is on disk. So normal
// end, abort, halt, lost lease, crash and reboot all run the same undo from the
// same journal, and nothing needs to be remembered by a process.
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
	// ErrDamaged says that a part of the journal can't be read.
	ErrDamaged = errors.New("journal is damaged")
)
