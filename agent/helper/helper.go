// Package helper holds the roles that the agent plays in a process of their
// own, so that their death or hang ends one fault and nothing else.
//
// A helper reads its orders from standard input and ends when that closes,
// which is when its worker closes it or dies.
package helper

import (
	"fmt"
	"io"
)

// Main plays the role that args name, "delay-line", until in closes, and
// returns the exit code.
func Main(args []string, in io.Reader, out, log io.Writer) int {
	if len(args) != 1 {
		fmt.Fprintln(log, "helper: want one role")
		return 2
	}
	switch args[0] {
	default:
		fmt.Fprintf(log, "helper: unknown role %q\n", args[0])
		return 2
	}
}
