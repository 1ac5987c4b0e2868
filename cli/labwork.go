package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"squall/cli/lab"
)

func newLabExecCmd(a *app) *cobra.Command {
	var name string
	cmd := &lab.Command{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	c := &cobra.Command{
		Use: "exec HOST -- CMD…", Short: "Run a command on a host of the lab; exits with its code", Args: cobra.MinimumNArgs(2),
		Long: "Run a command on a host of the lab, with a clean environment; exits with its code, as a shell does: 127 where the host has no such program, 126 where it can't be run, 128 and the number of a signal that killed it. It runs as root in a cgroup of its own. " +
			"With --workload it runs as the workload does: in its cgroup, so that what is done to the workload is done to it, as its account, with its environment.",
		RunE: func(c *cobra.Command, args []string) error {
			folder, err := labOf(name, args[0])
			if err != nil {
				return err
			}
			argv := args[1:]
			if argv[0] == "--" {
				argv = argv[1:]
			}
			if len(argv) == 0 {
				return usage(wordCount(c, args))
			}
			if cmd.Workload != "" {
				if err := checkWorkload(c.Context(), folder, args[0], cmd.Workload); err != nil {
					return err
				}
			}
			cmd.Folder, cmd.Host, cmd.Argv = folder, args[0], argv
			code, err := cmd.Run(c.Context())
			return cmp.Or(asShell(err), exit(code))
		},
	}
	c.Flags().StringVar(&name, "lab", "", labFlagUsage)
	c.Flags().StringVarP(&cmd.Workload, "workload", "w", "", "run as this workload does, in its cgroup")
	c.Flags().StringArrayVarP(&cmd.Env, "env", "e", nil, "a variable for the command, NAME=VALUE")
	c.Flags().SetInterspersed(false)
	return c
}

// asShell gives a command that could not be started the exit code that a shell
// ends with.
func asShell(err error) error {
	var never *lab.StartError
	if errors.As(err, &never) {
		return &exitError{never.Code, err}
	}
	return err
}

const labFlagUsage = "the lab, where several are up"

// newLabOrderCmd is a command that tells a host's init something about a workload.
func newLabOrderCmd(a *app, use, short, did string, tell func(lab.Folder, context.Context, string, string) error) *cobra.Command {
	var name string
	c := &cobra.Command{
		Use: use + " HOST WORKLOAD", Short: short, Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			folder, err := labOf(name, args[0])
			if err != nil {
				return err
			}
			if err := checkWorkload(c.Context(), folder, args[0], args[1]); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			if err := tell(folder, ctx, args[0], args[1]); err != nil {
				return fmt.Errorf("%s workload %s on host %s: %w", use, args[1], args[0], err)
			}
			fmt.Fprintf(a.stderr, "workload %s on host %s %s\n", args[1], args[0], did)
			return nil
		},
	}
	c.Flags().StringVar(&name, "lab", "", labFlagUsage)
	return c
}

func newLabStartCmd(a *app) *cobra.Command {
	return newLabOrderCmd(a, "start", "Start a workload of a host, and return when it is ready", "is ready", lab.Folder.Start)
}

func newLabStopCmd(a *app) *cobra.Command {
	return newLabOrderCmd(a, "stop", "Stop a workload of a host: ask its processes to end, and kill them after ten seconds", "has ended", lab.Folder.Stop)
}

// checkWorkload refuses a workload that the host doesn't have.
func checkWorkload(ctx context.Context, f lab.Folder, host, workload string) error {
	states, err := f.States(ctx, host)
	if err != nil {
		return err
	}
	var names []string
	for _, s := range states {
		if s.Name == workload {
			return nil
		}
		names = append(names, s.Name)
	}
	if len(names) == 0 {
		return usagef("host %s has no workloads", host)
	}
	return usagef("host %s has no workload %q; it has %s", host, workload, strings.Join(names, ", "))
}

func newLabLogsCmd(a *app) *cobra.Command {
	var name string
	var follow bool
	c := &cobra.Command{
		Use: "logs HOST WORKLOAD", Short: "Print what a workload of a host has printed, over all its starts", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			folder, err := labOf(name, args[0])
			if err != nil {
				return err
			}
			if err := checkWorkload(c.Context(), folder, args[0], args[1]); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return copyLog(ctx, a.stdout, folder.Log(args[0], args[1]), follow)
		},
	}
	c.Flags().StringVar(&name, "lab", "", labFlagUsage)
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on as it prints more, until the lab goes down")
	return c
}

// copyLog prints a log, which may not be there yet.
func copyLog(ctx context.Context, out io.Writer, path string, follow bool) error {
	log, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && !follow {
		return nil
	}
	if err != nil {
		return err
	}
	defer log.Close()
	for {
		if _, err := io.Copy(out, log); err != nil || !follow {
			return err
		}
		if _, err := os.Stat(path); err != nil || !rest(ctx, 200*time.Millisecond) {
			return nil
		}
	}
}
