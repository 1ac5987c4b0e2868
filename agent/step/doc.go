// Package step is the engine of a host: it moves each step through ready,
// scheduled, armed, held and reverted on the host's own clock. Orders, leases
// and halts go in, statuses come out; it knows nothing of who sends them.
package step
