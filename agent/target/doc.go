// Package target resolves the workloads of a host's config into objects: where
// each one's processes live, and what they are.
//
// Nobody else resolves. What can't be told is an error, never a guess.
package target
