package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// app is what every command shares: the streams, and the settings once they are read.
type app struct {
	// args are the command line.
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	flags          settingFlags
	// settings are read before a command runs.
	settings *settings
	// why is the flag of report.
	why bool
}

// run carries out one command line and gives its exit code. Data goes to
// stdout; progress and errors go to stderr.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &watchedWriter{out: stdout}
	a := &app{args: args, stdin: stdin, stdout: out, stderr: stderr}
	root := newRootCmd(a)
	root.SetArgs(args)
	err := plainUsage(root.ExecuteContext(context.Background()))
	if err == nil && out.failed != nil {
		err = fmt.Errorf("write the answer: %w", out.failed)
	}
	if err == nil {
		return 0
	}
	code := exitCode(err)
	if text := err.Error(); text != "" {
		_ = putText(stderr, "squall: "+text+"\n") // there is nobody else to tell
	}
	return code
}

// watchedWriter remembers that something could not be written: an answer that
// nobody got is no success.
type watchedWriter struct {
	out    io.Writer
	failed error
}

// Write is out's.
func (w *watchedWriter) Write(b []byte) (int, error) {
	n, err := w.out.Write(b)
	if err != nil && w.failed == nil {
		w.failed = err
	}
	return n, err
}

// newRootCmd puts the commands together.
func newRootCmd(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "squall",
		Short:         "Practise losing an availability zone",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			return a.readSettings(c)
		},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usage(suggestFlag(c, err)) })
	a.flags.register(root.PersistentFlags())
	_ = root.RegisterFlagCompletionFunc("output", func(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return outputsOf(c), cobra.ShellCompDirectiveNoFileComp
	}) // the flag is there
	root.AddCommand(commands(a)...)
	root.AddCommand(labRoles()...)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	refuseUsage(root)
	refuseTopics(root)
	return root
}

// commands are all but the lab's own roles. A new one is one line here.
func commands(a *app) []*cobra.Command {
	return []*cobra.Command{
		newAgentCmd(a),
		newAgentWorkerCmd(a),
		newCalendarCmd(a),
		newCatalogCmd(a),
		newConfigCmd(a),
		newConfirmCmd(a),
		newDescribeCmd(a),
		newDoctorCmd(a),
		newExperimentCmd(a),
		newExplainCmd(a),
		newForgetCmd(a),
		newGetCmd(a),
		newGuardCmd(a),
		newHaltCmd(a),
		newHelperCmd(a),
		newHistoryCmd(a),
		newInitCmd(a),
		newInjectCmd(a),
		newLabCmd(a),
		newLogsCmd(a),
		newNotifyCmd(a),
		newOperatorCmd(a),
		newPlanCmd(a),
		newReportCmd(a),
		newResumeCmd(a),
		newRunCmd(a),
		newScheduleCmd(a),
		newServerCmd(a),
		newShopCmd(a),
		newStatusCmd(a),
		newUndoCmd(a),
		newValidateCmd(a),
		newVersionCmd(a),
	}
}
