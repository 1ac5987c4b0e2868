// Package undo makes every change reversible before it is made: a write-ahead
// journal of undos, and the runner that injects, reverts and recovers from it.
package undo
