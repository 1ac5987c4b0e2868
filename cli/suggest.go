package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"squall/experiments/near"
)

// suggestCommand adds to a complaint about an argument which sub-command was
// probably meant.
func suggestCommand(c *cobra.Command, args []string, complaint error) error {
	if complaint == nil || len(args) == 0 || !c.HasAvailableSubCommands() {
		return complaint
	}
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return fmt.Errorf("unknown command %q of %s; %s", args[0], c.CommandPath(), near.Fix(args[0], "command", names))
}

// suggestFlag adds to a complaint about a flag which one was probably meant.
func suggestFlag(c *cobra.Command, complaint error) error {
	var unknown *pflag.NotExistError
	if !errors.As(complaint, &unknown) {
		return complaint
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	if name := near.Name(unknown.GetSpecifiedName(), names); name != "" {
		return fmt.Errorf("%w of %s; did you mean --%s?", complaint, c.CommandPath(), name)
	}
	return fmt.Errorf("%w of %s; %s --help lists its flags", complaint, c.CommandPath(), c.CommandPath())
}
