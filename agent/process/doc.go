// Package process is what makes an agent two processes: a supervisor and a
// worker, the beats between them, and the lock on the journal that says which
// of the two may write it.
package process
