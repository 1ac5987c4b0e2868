// Package agent carries out a host's orders, and makes sure that everything
// that it did to the host ends.
//
// An agent is two processes of one binary. The supervisor holds no kernel
// object; it starts the worker, exchanges a beat with it, and reverts from the
// journal when the worker is dead. The worker holds a session with the control
// plane, or serves a Unix socket, and moves each step through prepared, armed,
// held and reverted on the host's own clock. Each takes a second of silence
// from the other for death, and only one of the two writes the journal at a
// time. DESIGN.md beside this file tells more.
package agent
