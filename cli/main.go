// Command squall practises the loss of an availability zone. One binary is
// agent, control server, client and lab: the role is the sub-command.
//
// This package only wires. It is the one place that reads settings, handles
// signals and ends the process.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
