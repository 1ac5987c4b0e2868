package experiments

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	pb "squall/proto/squall/v1"
)

func TestFlagsAreTheLeavesOfAFault(t *testing.T) {
	delay := map[string]Flag{}
	for _, f := range Flags(&pb.NetDelay{}) {
		delay[f.Name] = f
		if f.Usage() == "" || f.Takes == "" {
			t.Errorf("flag %s says nothing: %+v", f.Name, f)
		}
	}
	for name, want := range map[string]Flag{
		"delay":     {Required: true},
		"to.zone":   {Repeated: true},
		"to.prefix": {Repeated: true},
		"direction": {Default: "out"},
	} {
		got, ok := delay[name]
		if !ok || got.Required != want.Required || got.Repeated != want.Repeated || got.Default != want.Default {
			t.Errorf("flag %s is %+v, want %+v", name, got, want)
		}
	}
	if len(delay) != 6 {
		t.Errorf("net.delay has %d flags", len(delay))
	}
}

// TestAMapIsOneFlag: its keys and values are no flags of their own.
func TestAMapIsOneFlag(t *testing.T) {
	var names []string
	for _, f := range Flags(&pb.Target{}) {
		if strings.Contains(f.Name, "labels") {
			names = append(names, f.Name+" "+f.Takes)
		}
	}
	if diff := cmp.Diff([]string{"labels key=value", "exclude.labels key=value"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestEveryFlagCanBeSet(t *testing.T) {
	for _, name := range FaultNames() {
		fault, _ := NewFault(name)
		m := armOf(fault)
		for _, f := range Flags(m) {
			text := f.Default
			if text == "" {
				continue
			}
			if err := SetField(proto.Clone(m), f.Name, text); err != nil {
				t.Errorf("%s --%s %s: %v", name, f.Name, text, err)
			}
		}
	}
	for _, f := range Flags(&pb.Step{}) {
		if strings.HasPrefix(f.Name, "fault") {
			t.Errorf("the fault itself is a flag: %s", f.Name)
		}
	}
}

func TestSetFieldReadsLikeAFile(t *testing.T) {
	delay, target, off := &pb.NetDelay{}, &pb.Target{}, &pb.PowerOff{}
	for _, set := range []struct {
		msg        proto.Message
		path, text string
	}{
		{delay, "delay", "40ms"},
		{delay, "to.zone", "zone-b"},
		{delay, "to.zone", "zone-c"},
		{delay, "direction", "both"},
		{target, "labels.tier", "web"},
		{target, "labels", "team=shop"},
		{target, "pick", "40%"},
		{off, "back", "none"},
		{off, "l2", "true"},
	} {
		if err := SetField(set.msg, set.path, set.text); err != nil {
			t.Errorf("set %s to %s: %v", set.path, set.text, err)
		}
	}
	for _, c := range []struct{ want, got proto.Message }{
		{&pb.NetDelay{Delay: &pb.Span{Nanos: 40e6}, To: &pb.Peers{Zone: []string{"zone-b", "zone-c"}}, Direction: pb.Direction_DIRECTION_BOTH}, delay},
		{&pb.Target{Labels: map[string]string{"tier": "web", "team": "shop"}, Pick: &pb.Amount{Of: &pb.Amount_Share{Share: &pb.Share{Ppm: 400_000}}}}, target},
		{&pb.PowerOff{L2: true, Back: &pb.WayBack{Start: pb.BackStart_BACK_START_NONE}}, off},
	} {
		if diff := cmp.Diff(c.want, c.got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestSetFieldRefuses(t *testing.T) {
	for _, c := range []struct{ path, text, want string }{
		{"dely", "40ms", `there is no "dely": did you mean "delay"?`},
		{"delay", "40", `"40" has no unit`},
		{"delay", "2m", `"2m" is out of range: write 1ms to 60s`},
		{"direction", "sideways", "use out, in or both"},
		{"to", "zone-b", `"to" is "zone-b"`},
		{"delay.x", "1", `there is nothing in it called "x"`},
	} {
		err := SetField(&pb.NetDelay{}, c.path, c.text)
		if c.want == "" {
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), c.want) && !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("set %s to %q: %v, want %q", c.path, c.text, err, c.want)
		}
	}
}

func armOf(f *pb.Fault) proto.Message {
	m := f.ProtoReflect()
	return m.Get(m.WhichOneof(faultKinds())).Message().Interface()
}

// TestAsFlagSpeaksOfTheFlag that was given, not of the file that nobody wrote.
func TestAsFlagSpeaksOfTheFlag(t *testing.T) {
	fault, _ := NewFault("net.delay")
	for _, f := range []struct{ flag, text string }{{"delay", "9ms"}, {"to.prefix", "10.0.0/8"}} {
		if err := SetField(armOf(fault), f.flag, f.text); err != nil {
			t.Fatal(err)
		}
	}
	e := AdHoc(fault, &pb.Step{Spread: &pb.Span{Nanos: 30e9}}, &pb.Target{Zone: []string{"Zone A"}}, 10*time.Second)
	var said []string
	for _, p := range Check(e) {
		said = append(said, FormatProblem(AsFlag(p)))
	}
	all := strings.Join(said, "\n")
	for _, want := range []string{
		`--to.prefix: "10.0.0/8" is neither an address nor a prefix`, `--spread: "30s" is longer than the fault, which lasts 10s`, `--zone: `,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("it lacks %q:\n%s", want, all)
		}
	}
	for _, file := range []string{"timeline", "targets.it", "[0]"} {
		if strings.Contains(all, file) {
			t.Errorf("it speaks of %s:\n%s", file, all)
		}
	}
	if got := FormatProblem(AsFlag(&pb.Problem{Path: "targets.zone", Message: "is odd"})); got != "--zone: is odd" {
		t.Error(got)
	}
	empty := &pb.Problem{Path: "targets.it", Message: `target "it" is odd`, Fix: "x"}
	if got := FormatProblem(AsFlag(empty)); got != "the target is odd\n  fix: x" {
		t.Error(got)
	}
}

// TestFaultAloneIsCheckedForItsPrefixes: what comes to a host's socket without a
// file is held against the same rules.
func TestFaultAloneIsCheckedForItsPrefixes(t *testing.T) {
	for prefix, says := range map[string]string{"10.0.0/8": "neither an address nor a prefix", "10.0.0.1/8": "has bits beyond its length", "10.0.0.0/8": ""} {
		f := &pb.Fault{Kind: &pb.Fault_NetDelay{NetDelay: &pb.NetDelay{Delay: &pb.Span{Nanos: 9e6}, To: &pb.Peers{Prefix: []string{prefix}}}}}
		problems := CheckFault(WithDefaults(f))
		if (len(problems) == 0) != (says == "") || !strings.Contains(problems.Error(), says) {
			t.Errorf("%s: %v", prefix, problems)
		}
	}
}
