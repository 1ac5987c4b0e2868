package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"squall/experiments/near"
)

// suggestCommand adds to a complaint about an argument which sub-command was
// probably meant.
func suggestCommand(c *cobra.Command, args []string, complaint error) error {
	if complaint == nil || errors.Is(complaint, pflag.ErrHelp) {
		return complaint
	}
	if len(args) == 0 || !c.HasAvailableSubCommands() {
		return wordCount(c, args)
	}
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return fmt.Errorf("unknown command %q of %s; %s", args[0], c.CommandPath(), near.Fix(args[0], "command", names))
}

// wordCount says what a command takes besides its flags, and what it was given.
func wordCount(c *cobra.Command, args []string) error {
	_, takes, _ := strings.Cut(strings.TrimSuffix(c.Use, " [flags]"), " ")
	given := "nothing was given"
	if len(args) > 0 {
		given = "it was given " + strings.Join(args, " ")
	}
	if takes == "" {
		return fmt.Errorf("%s takes flags alone, and %s; %s --help lists them", c.CommandPath(), given, c.CommandPath())
	}
	return fmt.Errorf("%s takes %s, and %s", c.CommandPath(), takes, given)
}

// wanted says what a flag of a type takes.
var wanted = map[string]string{
	"uint64": "a whole number, such as 3", "int": "a whole number, such as 3", "uint": "a whole number, such as 3",
	"duration": "a number and a unit, such as 5s", "bool": "true or false",
}

// suggestFlag adds to a complaint about a flag which one was probably meant.
func suggestFlag(c *cobra.Command, complaint error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(complaint, &invalid) {
		if takes := wanted[invalid.GetFlag().Value.Type()]; takes != "" {
			return fmt.Errorf("--%s: %q is not what it takes; write %s", invalid.GetFlag().Name, invalid.GetValue(), takes)
		}
		return fmt.Errorf("--%s: %w", invalid.GetFlag().Name, errors.Unwrap(invalid))
	}
	var unknown *pflag.NotExistError
	if !errors.As(complaint, &unknown) {
		return complaint
	}
	if args := c.Flags().Args(); len(args) > 0 && c.HasAvailableSubCommands() {
		return suggestCommand(c, args, complaint) // its flags are unknown because it is
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

// plainUsage puts cobra's complaint about flags that are left out in our words.
func plainUsage(err error) error {
	if err == nil {
		return nil
	}
	list, ok := strings.CutPrefix(err.Error(), "required flag(s) ")
	if !ok {
		return err
	}
	names := strings.Split(strings.ReplaceAll(strings.TrimSuffix(list, " not set"), `"`, ""), ", ")
	return usagef("give --%s", strings.Join(names, " and --"))
}
