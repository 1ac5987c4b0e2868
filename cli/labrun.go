package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"squall/cli/lab"
	pb "squall/proto/squall/v1"
)

// fleetLimit is how long servers and agents may take to find one another, and
// fleetEach what each host adds: agents try their mechanisms in turns.
const (
	fleetLimit = 20 * time.Second
	fleetEach  = time.Second
)

// awaitFleet returns when the lab's servers have a leader and know every host.
// A lab without servers is ready as it is.
func (a *app) awaitFleet(ctx context.Context, file *pb.Lab, folder lab.Folder) error {
	region, err := lab.NewRegion(file)
	if err != nil || len(region.Servers()) == 0 {
		return err
	}
	c, err := dial(folder.UserBundle(), nil, time.Second)
	if err != nil {
		return err
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(ctx, fleetLimit+time.Duration(len(region.Hosts))*fleetEach)
	defer cancel()
	for {
		missing := fleetMissing(ctx, c, len(region.Hosts))
		if missing == nil {
			return nil
		}
		if !rest(ctx, 20*time.Millisecond) {
			return fmt.Errorf("wait for the lab's agents: %w", missing)
		}
	}
}

// fleetMissing is what is still missing of a control plane that knows so many hosts.
func fleetMissing(ctx context.Context, c *client, hosts int) error {
	st, err := askWhole[pb.Status](ctx, c, pb.ControlServiceClient.Status, &pb.StatusRequest{})
	switch {
	case err != nil:
		return err
	case st.GetLeader() == "":
		return errors.New("no leader yet")
	case int(st.GetHostsConnected()) < hosts:
		return fmt.Errorf("%d of %d hosts are connected", st.GetHostsConnected(), hosts)
	}
	return nil
}

func newLabRunCmd(a *app) *cobra.Command {
	var o labRunOptions
	c := &cobra.Command{
		Use:   "run SCENARIO|FILE",
		Short: "Up, run, report, down; exits with the run's code",
		Args:  cobra.ExactArgs(1),

		ValidArgsFunction: completeScenarios,
		RunE: func(c *cobra.Command, args []string) error {
			req, err := a.runRequest(args[0], o.runOptions)
			if err != nil {
				return err
			}
			if role := ownZone(req.GetExperiment()); role != "" && len(o.aim) == 0 {
				req.Aim = map[string]*pb.ZoneRole{role: {Zone: []string{leaderZone}}}
			}
			return a.labRun(c.Context(), labFor(o.lab, req), req, o)
		},
	}
	c.Flags().StringVar(&o.lab, "lab", "", "lab file, or a built-in one's name; left out, the one whose name ends the scenario's, else "+lab.Default)
	c.Flags().StringArrayVar(&o.aim, "aim", nil, aimUsage)
	c.Flags().StringVar(&o.why, "why", "", "the reason, for the record")
	c.Flags().BoolVar(&o.keep, "keep", false, "leave the lab up after the run")
	c.Flags().StringVar(&o.out, "out", "", "folder for the report, the events and all logs of the lab; made if need be")
	return c
}

// labRunOptions are those of a run, and what is left of it.
type labRunOptions struct {
	runOptions
	lab  string
	keep bool
	out  string
}

// labFor is the lab for a run: the one asked for, else a built-in one after
// which the experiment is named, else the default.
func labFor(asked string, req *pb.RunRequest) string {
	if asked != "" {
		return asked
	}
	for _, name := range lab.BuiltIn() {
		if lastWord(req.GetExperiment().GetName()) == name {
			return name
		}
	}
	return lab.Default
}

// labRun leaves nothing, however the run ends, but what it was asked to keep.
func (a *app) labRun(ctx context.Context, name string, req *pb.RunRequest, o labRunOptions) error {
	if o.out != "" { // found out before anything is built
		if err := os.MkdirAll(o.out, 0o755); err != nil {
			return usage(err)
		}
	}
	folder, err := a.labUpOrSignal(ctx, name)
	if err != nil {
		return err
	}
	// The lab of this command, whatever else is up or configured.
	a.settings.Bundle, a.settings.Server = folder.UserBundle(), nil
	o.yes = true // the lab never asks
	err = a.carryOut(ctx, req, o.runOptions, nil)
	if o.out != "" {
		if keepErr := a.keepRun(context.WithoutCancel(ctx), folder, o.out); keepErr != nil {
			err = errors.Join(err, keepErr)
		}
	}
	if o.keep || errors.Is(err, errDetached) {
		fmt.Fprintf(a.stderr, "the lab stays up; squall lab down %s ends it\n", folder.Name())
		return err
	}
	if downErr := lab.Down(context.WithoutCancel(ctx), folder); downErr != nil {
		return errors.Join(err, downErr)
	}
	fmt.Fprintln(a.stderr, "the lab is down; nothing is left")
	return err
}
