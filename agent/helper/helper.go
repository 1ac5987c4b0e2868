// Package helper holds the roles that the agent plays in a process of their
// own, so that their death or hang ends one fault and nothing else.
//
// A helper reads its orders from standard input and ends when that closes,
// which is when its worker closes it or dies.
package helper

import (
	"fmt"
	"io"

	"squall/agent/host"
)

// roles is the one table of what a helper can be.
var roles = map[string]func(in io.Reader, out io.Writer) error{
	"delay-line":   delayLine,
	host.GuardRole: host.Guard,
}

// Main plays the role that args name until in closes, and returns the exit
// code: 0, 1 if the role failed, 2 if there is no such role.
func Main(args []string, in io.Reader, out, log io.Writer) int {
	if len(args) != 1 || roles[args[0]] == nil {
		fmt.Fprintf(log, "helper: no role %q\n", args)
		return 2
	}
	if err := roles[args[0]](in, out); err != nil {
		fmt.Fprintf(log, "helper: %s: %v\n", args[0], err)
		return 1
	}
	return 0
}
