// Package bench measures Squall as its users meet it: a lab, the binary, and a
// clock. It holds benchmarks only; `make bench` runs them.
//
// Each figure is a median over at least twenty rounds and is printed beside its
// target and a baseline that was taken in the same run, so that a slow machine
// shows as one. A missed target is printed, and fails nothing.
package bench
