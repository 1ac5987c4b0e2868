// Package pb is the one vocabulary of Squall: the same messages are the
// experiment file, the agents' stream and the Raft log, so that no layer in
// between can rot.
//
// The generated code is committed; `make proto` writes it anew. Spelling,
// units, ranges and defaults of files stand in options on the descriptors.
package pb
