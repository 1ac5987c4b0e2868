// Package sweep is tests only: it kills and stops a real agent's processes
// everywhere, and then reads the whole host, which must be as before.
//
// Each cell is a process (worker, supervisor, helper, all), a signal (KILL,
// STOP with a later CONT), a phase (idle, injecting, held, reverting) and a
// fault. A new fault joins by one line in the table of faults.
package sweep
