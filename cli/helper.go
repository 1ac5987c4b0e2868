package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"squall/agent/helper"
	"squall/agent/host"
)

// newHelperCmd plays one of the agent's child roles.
func newHelperCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "helper ROLE", Short: "A child role of the agent", Hidden: true, DisableFlagParsing: true,
		// It lives in the agent's shadow: a person's settings are not its own.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(_ *cobra.Command, args []string) error {
			if err := host.UsualTimers(); err != nil {
				fmt.Fprintln(a.stderr, err) // its instants are exact all the same
			}
			return exit(helper.Main(args, a.stdin, a.stdout, a.stderr))
		},
	}
}
