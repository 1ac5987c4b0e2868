// Package sim holds tests only: a whole cluster with its agents in one
// testing/synctest bubble, where minutes take milliseconds.
//
// Everything but the kernel is real: servers with raft and gRPC over TLS,
// supervisors and workers with journals on disk. Hosts are hosttest fakes, and
// the network is made of pipes that can be cut.
package sim
