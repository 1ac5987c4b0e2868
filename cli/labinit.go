package main

import (
	"github.com/spf13/cobra"

	"squall/cli/lab"
)

// labRoles are the processes of a lab; the lab starts them itself.
func labRoles() []*cobra.Command {
	role := func(use string, args int, run func(*cobra.Command, []string) error) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: "A process of the lab", Hidden: true, Args: cobra.ExactArgs(args), RunE: run,
			PersistentPreRunE: func(*cobra.Command, []string) error { return nil }, // a person's settings are not theirs
		}
	}
	return []*cobra.Command{
		role(lab.HolderCommand, 1, func(c *cobra.Command, args []string) error { return lab.Hold(c.Context(), lab.Folder(args[0])) }),
		role(lab.RegionCommand, 1, func(c *cobra.Command, args []string) error { return lab.RunRegion(c.Context(), lab.Folder(args[0])) }),
		role(lab.HostCommand, 2, func(c *cobra.Command, args []string) error {
			return lab.RunHost(c.Context(), lab.Folder(args[0]), args[1])
		}),
	}
}
