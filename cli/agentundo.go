package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"squall/agent/host"
	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// newAgentUndoCmd is the undo of a host whose agent doesn't run.
func newAgentUndoCmd(a *app) *cobra.Command {
	c := &agentCmd{}
	cmd := &cobra.Command{
		Use:   "undo",
		Short: "Undo what an agent that no longer runs has left here",
		Long: "Undo what the journal says that an agent has left on this host, and sweep what is\n" +
			"ours. It is for a host whose agent doesn't run: at boot, before workloads start,\n" +
			"and before the agent is removed. Where one runs, squall undo --local is the way.\n" +
			"What is still changed afterwards is told, and has the exit code of residue.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.log = slog.New(slog.NewTextHandler(a.stderr, nil)).With("pid", os.Getpid())
			return c.undo(cmd)
		},
	}
	c.registerPlaces(cmd)
	return cmd
}

// undo goes on without a config that can't be read: what needs it is told as left,
// and the rest is undone.
func (c *agentCmd) undo(cmd *cobra.Command) error {
	config, unread := c.hostConfig()
	if unread != nil {
		config = &pb.HostConfig{}
	}
	err := c.at(config).Undo(cmd.Context())
	var held *host.Locked
	switch {
	case errors.As(err, &held):
		return &exitError{experiments.ExitRefused, fmt.Errorf("%w\n  fix: an agent runs here: squall undo --local --all lets it undo what it holds", err)}
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		return agentError(err)
	case err != nil:
		return &exitError{experiments.ExitResidue, errors.Join(err, unread)}
	case unread != nil && !errors.Is(unread, fs.ErrNotExist):
		c.log.Warn("nothing is left here, but the host's config can't be read", "err", unread)
	}
	return nil
}
