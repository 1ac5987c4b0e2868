package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"squall/experiments"
)

func newExplainCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "explain [PATH]",
		Short: "Say what a key of a file means",
		Long:  "Say what a key means, what it takes, its default and range, and the keys below it. Without a path: the kinds of file.",
		Example: `  squall explain experiment.timeline
  squall explain power.off
  squall explain host.workloads`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path := ""
			if len(args) == 1 {
				path = args[0]
			}
			text, err := experiments.Explain(path)
			if err != nil {
				return usage(err)
			}
			_, err = fmt.Fprint(a.stdout, text)
			return err
		},
	}
}
