package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// refuseUsage makes every command's complaint about its arguments a usage error.
// A command that only groups others shows its help, and refuses any other word.
func refuseUsage(c *cobra.Command) {
	if c.HasSubCommands() {
		onlyGroups(c)
	}
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error { return usage(suggestCommand(c, args, check(c, args))) }
	}
	for _, sub := range c.Commands() {
		refuseUsage(sub)
	}
}

// onlyGroups gives a command that does nothing by itself its help to show.
func onlyGroups(c *cobra.Command) {
	if !c.Runnable() {
		c.Args, c.RunE = groupOnly, func(c *cobra.Command, _ []string) error { return c.Help() }
	}
}

// addAsked makes the commands of a group where the command line may ask for one.
// Those of all groups would take as long as everything else that a command does
// before it asks a server. Without a command line, all are made. The group is
// in the list of commands either way.
func (a *app) addAsked(group *cobra.Command, commands func() []*cobra.Command) {
	onlyGroups(group)
	if a.asks(group.Name()) {
		group.AddCommand(commands()...)
	}
}

// asks says that the command line may ask for what is below a command.
func (a *app) asks(name string) bool { return len(a.args) == 0 || slices.Contains(a.args, name) }

// groupOnly asks for the help of a group before anything of it runs.
func groupOnly(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return pflag.ErrHelp
	}
	return cobra.NoArgs(c, args)
}

// refuseTopics makes the two commands that come with the library refuse what
// they don't know: left to themselves they answer with a page of help and exit
// code 0. Neither needs settings, and wrong ones don't stop them.
func refuseTopics(root *cobra.Command) {
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = helpTopic
		case "completion":
			c.Args = aShell
		default:
			continue
		}
		c.PersistentPreRunE = func(*cobra.Command, []string) error { return nil }
	}
}

// helpTopic refuses words that are no command.
func helpTopic(c *cobra.Command, args []string) error {
	found, rest, err := c.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return usage(suggestCommand(found, rest, cobra.NoArgs(found, rest)))
	}
	return nil
}

// aShell names the shells that scripts can be made for.
func aShell(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return pflag.ErrHelp
	}
	var shells []string
	for _, sub := range c.Commands() {
		shells = append(shells, sub.Name())
	}
	slices.Sort(shells)
	return usagef("%s knows no shell %q; write one of: %s", c.CommandPath(), args[0], strings.Join(shells, ", "))
}
