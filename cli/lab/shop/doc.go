// Package shop is the small shop that the built-in lab runs, so that losing a
// zone means something: frontends, APIs, a store replicated with Raft, a
// resolver for each zone, and a client that measures.
//
// It is honest: a checkout is one entry in the store's log, acknowledged by a
// majority; failing over is an election; names come from resolvers that check
// who answers; and nothing here knows that a fault is coming.
package shop
