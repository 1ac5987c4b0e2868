package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/proto"

	"squall/experiments"
	kind "squall/experiments/fault"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

func newInjectCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:     "inject FAULT",
		Short:   "Inject one fault for a while: an ad hoc run",
		Long:    "Inject one fault for a while. It is a run like any other: guardrails, journal, report. Every fault has an end: --for is required.",
		Example: examples(experiments.FaultNames()...),
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, args []string) error {
			return usagef("name a fault: squall inject dns.fail --zone zone-b --for 20s")
		},
	}
	for _, name := range experiments.FaultNames() {
		c.AddCommand(newInjectFaultCmd(a, name))
	}
	beforeHelp(c, func() {
		for _, fault := range c.Commands() {
			fault.Short = summary(fault.Name())
		}
	})
	return c
}

// examples are a command line for each kind of fault.
func examples(faults ...string) string {
	var lines []string
	for _, name := range faults {
		if k := kind.ByName(name); k != nil {
			lines = append(lines, "  squall inject "+name+" "+k.Example)
		}
	}
	return strings.Join(lines, "\n")
}

// beforeHelp does something once help is asked for: texts that come from the
// protos' comments cost more than the rest of a command line together.
func beforeHelp(c *cobra.Command, do func()) {
	help := c.HelpFunc()
	c.SetHelpFunc(func(asked *cobra.Command, args []string) {
		do()
		help(asked, args)
	})
}

// injection is one `inject` command: its messages are filled from flags that
// their descriptors describe.
type injection struct {
	fault  *pb.Fault
	step   *pb.Step
	target *pb.Target
	length onceFlag
	at     onceFlag
	opts   runOptions
	local  localFlags
	// fields are the flags that set a field, by the flag's name.
	fields map[string]field
}

type field struct {
	message proto.Message
	flag    experiments.Flag
}

// stepFlags are the fields of a step that make sense for a single one.
var stepFlags = map[string]bool{"spread": true, "ramp": true, "lost_contact": true}

func newInjectFaultCmd(a *app, name string) *cobra.Command {
	fault, _ := experiments.NewFault(name) // the name is from the same table
	in := &injection{fault: fault, step: &pb.Step{}, target: &pb.Target{}, fields: map[string]field{}}
	c := &cobra.Command{
		Use:     name,
		Args:    cobra.NoArgs,
		Example: examples(name),
		RunE: func(c *cobra.Command, _ []string) error {
			if in.local.local {
				return in.injectLocal(c.Context(), a, c.Flags())
			}
			req, err := in.request(c.Flags())
			if err != nil {
				return err
			}
			return a.carryOut(c.Context(), req, in.opts, allActive())
		},
	}
	if slices.Contains(a.args, name) {
		in.addFlags(a, c)
	}
	return c
}

// addFlags makes the flags of one fault. Those of all faults would take as long
// as everything else that a command does before it asks a server, and flags of
// a fault that the command line doesn't name can't be on it.
func (in *injection) addFlags(a *app, c *cobra.Command) {
	in.register(c.Flags(), kind.Body(in.fault), func(string) bool { return true })
	in.register(c.Flags(), in.target, func(n string) bool { return true })
	in.register(c.Flags(), in.step, func(n string) bool { return stepFlags[n] })
	c.Flags().Var(&in.length, "for", "how long, such as 20s (required)")
	c.Flags().Var(&in.at, "at", "when: now")
	in.opts.register(c)
	in.local.register(c.Flags())
	completeFlags(c, a.targetCompletions())
	completeFlags(c, in.words())
	beforeHelp(c, func() {
		c.Short = summary(c.Name())
		in.describe(c.Flags())
	})
}

// summary is what a kind of fault does, in one line: what explain says of it
// below its heading.
func summary(fault string) string {
	text, err := experiments.Explain("experiment.timeline.faults." + fault)
	if err != nil {
		return fault
	}
	_, below, _ := strings.Cut(text, "\n\n")
	line, _, _ := strings.Cut(below, "\n")
	return strings.TrimSpace(line)
}

// register makes a flag of each field that is wanted and whose name is free.
func (in *injection) register(set *pflag.FlagSet, message proto.Message, wanted func(string) bool) {
	for _, f := range experiments.Flags(message) {
		if set.Lookup(f.Name) != nil || !wanted(f.Name) {
			continue
		}
		set.Var(flagFor(f), f.Name, "")
		if f.Bool {
			set.Lookup(f.Name).NoOptDefVal = "true"
		}
		in.fields[f.Name] = field{message, f}
	}
}

// fieldFlag is a flag's value as the texts that set a field, one after the other.
type fieldFlag interface {
	pflag.Value
	values() []string
}

func flagFor(f experiments.Flag) fieldFlag {
	if f.Repeated {
		return &listFlag{}
	}
	return &onceFlag{}
}

// words complete the flags that take one of a few.
func (in *injection) words() map[string]completion {
	all := map[string]completion{}
	for name, f := range in.fields {
		if len(f.flag.Words) > 0 {
			all[name] = cobra.FixedCompletions(f.flag.Words, cobra.ShellCompDirectiveNoFileComp)
		}
	}
	return all
}

// describe gives the flags of fields their texts.
func (in *injection) describe(set *pflag.FlagSet) {
	for name, f := range in.fields {
		set.Lookup(name).Usage = strings.ReplaceAll(flagHelp(f.flag), "`", "") // else help takes it for the value's name
	}
}

// flagHelp is what a flag does, what it takes, and what goes without it.
func flagHelp(f experiments.Flag) string {
	text, _, _ := strings.Cut(f.Usage(), ", or roles of ") // which only a file has
	switch {
	case f.Bool:
	case len(f.Words) > 0:
		text += ": " + strings.Join(f.Words, " or ")
	case f.Takes != "a text":
		text += ": " + f.Takes
	}
	if f.Required {
		text += " (required)"
	}
	if f.Default != "" {
		text += " (default " + f.Default + ")"
	}
	return text
}

func (in *injection) request(set *pflag.FlagSet) (*pb.RunRequest, error) {
	length, err := in.read(set)
	if err != nil {
		return nil, err
	}
	if proto.Size(in.target) == 0 {
		return nil, usagef("no target: give --zone, --host, --role, --room, or --labels key=value")
	}
	e := experiments.AdHoc(in.fault, in.step, in.target, length)
	if err := refused(asFlags(experiments.Check(e))); err != nil {
		return nil, err
	}
	return &pb.RunRequest{Id: newID(), Experiment: e, File: "squall inject", Why: in.opts.why, AdHoc: true}, nil
}

// asFlags puts problems with an ad hoc experiment in the words of its flags.
func asFlags(problems []*pb.Problem) []*pb.Problem {
	said := make([]*pb.Problem, len(problems))
	for i, p := range problems {
		said[i] = experiments.AsFlag(p)
	}
	return said
}

// read fills the messages from the flags, and gives the fault's length.
func (in *injection) read(set *pflag.FlagSet) (time.Duration, error) {
	if in.at.given && in.at.text != "now" {
		return 0, usagef("--at %s: an ad hoc fault starts now; write an experiment for any other time", in.at.text)
	}
	if !in.length.given {
		return 0, usagef("--for is missing: every fault has an end; give a length of time, such as --for 20s")
	}
	length, err := quantity.ParseSpan(in.length.text)
	if err != nil {
		return 0, usage(fmt.Errorf("--for: %w", err))
	}
	if length.GetNanos() == 0 {
		return 0, usagef("--for: %q is no time at all: give a length of time, such as --for 20s", in.length.text)
	}
	if err := in.setFields(set); err != nil {
		return 0, err
	}
	return time.Duration(length.GetNanos()), in.missing(set)
}

// missing asks for a flag that can't be left out. Whoever gets the fault asks
// for its keys again; here they are told as flags.
func (in *injection) missing(set *pflag.FlagSet) error {
	for _, name := range slices.Sorted(maps.Keys(in.fields)) {
		if f := in.fields[name]; f.flag.Required && !set.Changed(name) {
			return usagef("--%s is missing: give %s", name, f.flag.Takes)
		}
	}
	return nil
}

// injectLocal holds the fault on this host alone.
func (in *injection) injectLocal(ctx context.Context, a *app, set *pflag.FlagSet) error {
	length, err := in.read(set)
	if err != nil {
		return err
	}
	if err := in.onlyHere(set); err != nil {
		return err
	}
	if err := refused(asFlags(experiments.CheckFault(experiments.WithDefaults(in.fault)))); err != nil {
		return err
	}
	req := &pb.LocalInjectRequest{
		Fault: in.fault, Workload: in.target.GetWorkload(), ForNanos: length.Nanoseconds(), Why: in.opts.why,
	}
	return in.local.do(a, func(l *localClient) error { return l.inject(ctx, req, in.opts.detach) })
}

// onlyHere refuses flags that a host alone would ignore.
func (in *injection) onlyHere(set *pflag.FlagSet) error {
	var ignored string
	set.Visit(func(f *pflag.Flag) {
		of := in.fields[f.Name].message
		if of == in.step || of == in.target && f.Name != "workload" {
			ignored = f.Name
		}
	})
	if ignored != "" {
		return usagef("--%s means nothing with --local, which acts on this host alone; leave it out", ignored)
	}
	return nil
}

func (in *injection) setFields(set *pflag.FlagSet) error {
	var failed error
	set.Visit(func(f *pflag.Flag) {
		known, ok := in.fields[f.Name]
		if !ok || failed != nil {
			return
		}
		for _, text := range f.Value.(fieldFlag).values() {
			if err := experiments.SetField(known.message, known.flag.Name, text); err != nil {
				failed = usage(fmt.Errorf("--%s: %w", f.Name, err))
			}
		}
	})
	return failed
}

// allActive says when every host of the plan holds its fault: when as many have
// been heard of as the plan has slots.
func allActive() func(*pb.Event, uint32) bool {
	held := map[string]bool{}
	return func(e *pb.Event, slots uint32) bool {
		s := e.GetStep()
		if s.GetState() == pb.StepState_STEP_STATE_HELD {
			held[s.GetStep()+"/"+s.GetHost()] = true
		}
		return len(held) > 0 && len(held) >= int(slots)
	}
}
