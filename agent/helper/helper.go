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
// returns the exit code: 0, 1 if the role failed, 2 if there is no such role.
func Main(args []string, in io.Reader, out, log io.Writer) int {
	if len(args) != 1 || args[0] != "delay-line" {
		fmt.Fprintf(log, "helper: no role %q\n", args)
		return 2
	}
	if err := delayLine(in, out); err != nil {
		fmt.Fprintf(log, "helper: delay line: %v\n", err)
		return 1
	}
	return 0
}
