package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/testing/protocmp"

	"squall/experiments"
	kind "squall/experiments/fault"
	pb "squall/proto/squall/v1"
)

// targeted is what the flags of an injection make of its target and its fault.
func targeted(t *testing.T, args ...string) (*pb.Target, *pb.Fault, error) {
	t.Helper()
	fault, ok := experiments.NewFault("net.delay")
	if !ok {
		t.Fatal("there is no net.delay")
	}
	in := &injection{fault: fault, step: &pb.Step{}, target: &pb.Target{}, fields: map[string]field{}}
	set := pflag.NewFlagSet("inject", pflag.ContinueOnError)
	in.register(set, kind.Body(fault), func(string) bool { return true })
	in.register(set, in.target, func(string) bool { return true })
	if err := set.Parse(args); err != nil {
		return nil, nil, err
	}
	return in.target, in.fault, in.setFields(set)
}

// TestListFlagsTakeCommasOrRepetition: of every list alike, and every other flag
// takes one value.
func TestListFlagsTakeCommasOrRepetition(t *testing.T) {
	for _, args := range [][]string{
		{"--zone", "zone-a,zone-b", "--exclude.host", "h1, h2", "--labels", "tier=web,team=shop", "--to.prefix", "10.0.0.0/8,fd00::/8"},
		{"--zone=zone-a", "--zone=zone-b", "--exclude.host=h1", "--exclude.host=h2", "--labels=tier=web", "--labels=team=shop", "--to.prefix=10.0.0.0/8", "--to.prefix=fd00::/8"},
	} {
		target, fault, err := targeted(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		want := &pb.Target{
			Zone: []string{"zone-a", "zone-b"}, Exclude: &pb.Exclude{Host: []string{"h1", "h2"}},
			Labels: map[string]string{"tier": "web", "team": "shop"},
		}
		if diff := cmp.Diff(want, target, protocmp.Transform()); diff != "" {
			t.Errorf("%v: %s", args, diff)
		}
		if got := fault.GetNetDelay().GetTo().GetPrefix(); len(got) != 2 {
			t.Errorf("%v: prefixes %v", args, got)
		}
	}
	for text, want := range map[string]string{
		"--zone=a,,b":                  "an entry of the list is empty",
		"--zone=":                      "an entry of the list is empty",
		"--delay=10ms --delay=20ms":    "given twice",
		"--labels=tier":                "write key=value",
		"--direction=in --direction=x": "given twice",
	} {
		if _, _, err := targeted(t, strings.Fields(text)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestAimsAreOneRoleEach(t *testing.T) {
	aim, err := parseAim([]string{"dark=zone-a,zone-b", "lit=zone-c"})
	if err != nil || len(aim["dark"].GetZone()) != 2 || len(aim["lit"].GetZone()) != 1 {
		t.Errorf("aim is %v, %v", aim, err)
	}
	for text, want := range map[string]string{
		"dark=zone-a,lit=zone-b":  "give the flag twice",
		"dark=zone-a,":            "an entry of the list is empty",
		"dark=zone-a dark=zone-b": "aimed twice",
		"dark":                    "want ROLE=ZONE",
	} {
		if _, err := parseAim(strings.Fields(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--aim %s: %v, want %q", text, err, want)
		}
	}
}
