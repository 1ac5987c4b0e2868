// Package e2e is for promises shown on the lab with the real binary: what a
// person at the command line sees, with real processes, packets and kernels.
//
// Each test brings up what it needs in a folder of its own and leaves the
// machine as it was. There is no code here but tests.
package e2e
