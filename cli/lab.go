package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"squall/cli/lab"
	pb "squall/proto/squall/v1"
)

func newLabCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "lab",
		Short: "A region on this machine: zones and hosts as namespaces",
		Long:  "A lab is a region on this machine: zones and hosts as namespaces, with real processes and packets. Nothing of the machine changes. It needs root.",
	}
	c.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		if err := a.readSettings(c); err != nil {
			return err
		}
		return a.prepareLab(c.Context())
	}
	c.AddCommand(newLabUpCmd(a), newLabStatusCmd(a), newLabDownCmd(a), newLabExecCmd(a), newLabRunCmd(a),
		newLabStartCmd(a), newLabStopCmd(a), newLabLogsCmd(a))
	return c
}

// prepareLab checks that labs are possible here, and removes what killed ones left.
func (a *app) prepareLab(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return usagef("a lab makes network namespaces and cgroups, which needs root; try: sudo squall lab …\n" +
			"without root, validate, plan, explain and catalog work, and every command against running servers")
	}
	swept, err := lab.Sweep(ctx)
	for _, s := range swept {
		fmt.Fprintln(a.stderr, "swept what a killed lab left:", escape(s))
	}
	return err
}

func newLabUpCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "up [NAME|FILE]",
		Short: "Build the lab of a lab file: " + strings.Join(lab.BuiltIn(), ", ") + ", or a file of your own",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			_, err := a.labUpOrSignal(c.Context(), first(args, lab.Default))
			return err
		},
	}
}

// labUpOrSignal is labUp until a signal comes: then what was built goes down again.
func (a *app) labUpOrSignal(ctx context.Context, name string) (lab.Folder, error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return a.labUp(ctx, name)
}

// labUp builds a lab and returns when agents and servers know each other too.
// A lab that can't be built is taken down again.
func (a *app) labUp(ctx context.Context, name string) (lab.Folder, error) {
	began := time.Now()
	file, err := lab.Load(name)
	if err != nil {
		return "", usage(err)
	}
	folder, err := lab.Up(ctx, file, func(line string) { fmt.Fprintln(a.stderr, escape(line)) })
	if errors.Is(err, lab.ErrUp) {
		return "", usagef("%w\n  fix: squall lab down %s ends it", err, file.GetName())
	}
	if err == nil {
		err = a.awaitFleet(ctx, file, folder)
		if err == nil {
			err = folder.CheckAlive(ctx)
		}
		if err != nil && ctx.Err() == nil {
			err = errors.Join(err, folder.KeepLogs())
		}
	}
	if err != nil {
		return "", takeDown(context.WithoutCancel(ctx), folder, err)
	}
	a.sayUp(file, time.Since(began))
	return folder, nil
}

// sayUp ends what is told of a lab's start with its own words, on lines of their own.
func (a *app) sayUp(file *pb.Lab, took time.Duration) {
	fmt.Fprintf(a.stderr, "lab %s is up after %v\n", file.GetName(), took.Round(time.Millisecond))
	if say := strings.TrimRight(file.GetSay(), "\n"); say != "" {
		fmt.Fprintln(a.stderr, escape(say))
	}
}

// takeDown clears up after a lab that did not come up, and says where its logs are.
func takeDown(ctx context.Context, folder lab.Folder, why error) error {
	if err := lab.Down(ctx, folder); err != nil {
		return errors.Join(why, err)
	}
	if _, err := os.Stat(folder.Failed()); err == nil {
		return fmt.Errorf("%w\nall its logs are in %s", why, folder.Failed())
	}
	return why
}

func newLabStatusCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Say which labs are up, and which hosts they have", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			up, err := lab.Running()
			if err != nil {
				return err
			}
			if len(up) == 0 {
				fmt.Fprintln(a.stderr, "no lab is up; try: squall lab up")
			}
			for _, f := range up {
				if err := a.printLab(c.Context(), f); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (a *app) printLab(ctx context.Context, f lab.Folder) error {
	region, err := f.Region()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LAB\tZONE\tHOST\tROLES\tV4\tV6\tINIT\tWORKLOADS")
	for _, h := range region.Hosts {
		init, workloads := "runs", "-"
		if states, err := f.States(ctx, h.Name); err != nil {
			init = "ended"
		} else {
			workloads = workloadStates(states)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", region.Name, h.Zone, h.Name, strings.Join(h.Roles, ","), h.Link.V4, h.Link.V6, init, workloads)
	}
	return w.Flush()
}

// workloadStates says of each workload whether it runs.
func workloadStates(states []lab.WorkloadState) string {
	var words []string
	for _, s := range states {
		state := " ended"
		if s.Runs {
			state = " runs"
		}
		words = append(words, s.Name+state)
	}
	return strings.Join(words, ", ")
}

func newLabDownCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "down [NAME]", Short: "End a lab, or all of them, and leave nothing", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			up, err := labsNamed(args)
			if err != nil {
				return err
			}
			if len(up) == 0 {
				fmt.Fprintln(a.stderr, "no lab is up")
			}
			for _, f := range up {
				if err := lab.Down(c.Context(), f); err != nil {
					return err
				}
				fmt.Fprintf(a.stderr, "lab %s is down\n", f.Name())
			}
			return nil
		},
	}
}

// labsNamed are the labs that are up, or the one named.
func labsNamed(args []string) ([]lab.Folder, error) {
	if len(args) == 0 {
		return lab.Running()
	}
	f := lab.FolderOf(args[0])
	if !f.Alive() {
		return nil, usagef("no lab %q is up", args[0])
	}
	return []lab.Folder{f}, nil
}

// labOf is the lab that has the host: the one named, or the only one.
func labOf(name, host string) (lab.Folder, error) {
	var args []string
	if name != "" {
		args = []string{name}
	}
	up, err := labsNamed(args)
	if err != nil {
		return "", err
	}
	var found []lab.Folder
	for _, f := range up {
		if r, err := f.Region(); err == nil && r.Host(host) != nil {
			found = append(found, f)
		}
	}
	switch {
	case len(up) == 0:
		return "", usagef("no lab is up; try: squall lab up")
	case len(found) == 0:
		return "", usagef("no lab that is up has a host %q; squall lab status lists them", host)
	case len(found) > 1:
		return "", usagef("several labs have a host %q; name one with --lab", host)
	}
	return found[0], nil
}

func first(args []string, otherwise string) string {
	if len(args) > 0 {
		return args[0]
	}
	return otherwise
}

func lastWord(name string) string { return name[strings.LastIndex(name, "-")+1:] }
