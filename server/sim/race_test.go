//go:build race

package sim

import "runtime"

// A timer that is due when it is set runs at once, with the race detector's
// context of its bubble. Two threads that do so at one instant break the
// detector (SIGSEGV inside it, Go 1.26), and every pipe of bufconn sets such a
// timer. One thread is enough: races are found by order, not by coincidence.
func init() { runtime.GOMAXPROCS(1) }
