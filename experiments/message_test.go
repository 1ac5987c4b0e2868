package experiments

import (
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// TestExamplesAreWholeAsMessages: what a file may say, a message may say.
func TestExamplesAreWholeAsMessages(t *testing.T) {
	for _, file := range glob(t, "testdata/examples/*.yaml") {
		e, _, problems := Decode(file, read(t, file))
		if problems != nil {
			t.Fatal(problems)
		}
		if problems := Check(e); problems != nil {
			t.Errorf("%s: %v", file, problems)
		}
		if problems := Check(WithDefaults(e)); problems != nil {
			t.Errorf("%s with its defaults: %v", file, problems)
		}
	}
}

// TestMessagesAreHeldToTheRulesOfFiles: a value that no file could say is
// refused, whichever way it comes.
func TestMessagesAreHeldToTheRulesOfFiles(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*pb.Experiment)
		says   string
	}{
		"a required key of the fault": {func(e *pb.Experiment) { delayOf(e).Delay = nil }, `"delay" is missing from "timeline[0].faults[0].net.delay"`},
		"a value out of its range":    {func(e *pb.Experiment) { delayOf(e).Delay.Nanos = 120e9 }, `delay: "2m" is out of range`},
		"a negative length":           {func(e *pb.Experiment) { delayOf(e).Delay.Nanos = -5 }, `delay: "-5ns" is negative`},
		"a length that overflows":     {func(e *pb.Experiment) { stepOf(e).For.Nanos = math.MaxInt64 }, `is longer than a year`},
		"a word that there is not":    {func(e *pb.Experiment) { delayOf(e).Direction = 9 }, `direction: there is no value 9`},
		"a fault without a kind":      {func(e *pb.Experiment) { stepOf(e).Fault = &pb.Fault{} }, `does not say which kind it is`},
		"no fault at all":             {func(e *pb.Experiment) { stepOf(e).Fault = nil }, `"fault" is missing from "timeline[0].faults[0]"`},
		"no end":                      {func(e *pb.Experiment) { stepOf(e).For = nil }, `has no end`},
		"no name":                     {func(e *pb.Experiment) { e.Name = "" }, `"name" is missing from what was given`},
		"a name that moves a cursor":  {func(e *pb.Experiment) { e.Title = "x\x1b[2J" }, "has control characters"},
		"a phase of no name's form":   {func(e *pb.Experiment) { e.Timeline[0].Phase = "Not Plain" }, `has the wrong form`},
		"a share above the whole":     {func(e *pb.Experiment) { e.Guardrails = &pb.Guardrails{MaxHosts: share(2e6)} }, `is more than the whole`},
		"text that runs backwards":    {func(e *pb.Experiment) { e.Title = "x\u202ey" }, "has control characters"},
		"more than a file may hold":   {func(e *pb.Experiment) { e.Hypothesis = strings.Repeat("x", 1<<20) }, "the experiment has 1048"},
		"fields of another build":     {func(e *pb.Experiment) { e.ProtoReflect().SetUnknown([]byte{0xf8, 0x7f, 1}) }, "fields that this build does not know"},
		"a target of nothing":         {func(e *pb.Experiment) { e.Targets["it"] = &pb.Target{} }, `does not say which hosts`},
	} {
		t.Run(name, func(t *testing.T) {
			e := AdHoc(&pb.Fault{Kind: &pb.Fault_NetDelay{NetDelay: &pb.NetDelay{Delay: &pb.Span{Nanos: 40e6}}}}, nil, &pb.Target{Zone: []string{"zone-a"}}, time.Minute)
			if problems := Check(e); problems != nil {
				t.Fatalf("the whole one: %v", problems)
			}
			c.change(e)
			problems := Check(e)
			for _, p := range problems {
				if strings.Contains(p.GetMessage(), c.says) && p.GetFix() != "" {
					return
				}
			}
			t.Errorf("no %q with a fix in %v", c.says, problems)
		})
	}
}

// TestAMessagesProblemIsFoundInItsFile: by the path of the value, not of the key
// that explains it, which is the same for every probe.
func TestAMessagesProblemIsFoundInItsFile(t *testing.T) {
	e := AdHoc(&pb.Fault{Kind: &pb.Fault_NetDelay{NetDelay: &pb.NetDelay{Delay: &pb.Span{Nanos: 40e6}}}}, nil, &pb.Target{Zone: []string{"zone-a"}}, time.Minute)
	e.Probes = map[string]*pb.Probe{"page": {Kind: &pb.Probe_Http{Http: &pb.HTTPProbe{Url: "http://10.0.1.11/\x1b[2J"}}}}
	problems := Check(e)
	if len(problems) != 1 || problems[0].GetPath() != "probes.page.http.url" {
		t.Errorf("it is at %v", problems)
	}
}

// TestMessagesMaySendWhatProgramsWant: a file can say it, so a message may.
func TestMessagesMaySendWhatProgramsWant(t *testing.T) {
	e := AdHoc(&pb.Fault{Kind: &pb.Fault_NetDelay{NetDelay: &pb.NetDelay{Delay: &pb.Span{Nanos: 40e6}}}}, nil, &pb.Target{Zone: []string{"zone-a"}}, time.Minute)
	e.Probes = map[string]*pb.Probe{"ping": {Kind: &pb.Probe_Tcp{Tcp: &pb.TCPProbe{Address: "10.0.1.11:6379", Send: "PING\r\n", Expect: "+PONG\r\n"}}}}
	if problems := Check(e); problems != nil {
		t.Error(problems)
	}
}

func stepOf(e *pb.Experiment) *pb.Step      { return e.GetTimeline()[0].GetFaults()[0] }
func delayOf(e *pb.Experiment) *pb.NetDelay { return stepOf(e).GetFault().GetNetDelay() }

func share(ppm uint32) *pb.Amount {
	return &pb.Amount{Of: &pb.Amount_Share{Share: &pb.Share{Ppm: ppm}}}
}

// FuzzCheck gives Check what comes from a wire: any message at all.
func FuzzCheck(f *testing.F) {
	for _, file := range glob(f, "testdata/examples/*.yaml") {
		e, _, _ := Decode(file, read(f, file))
		wire, err := proto.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		e := &pb.Experiment{}
		if proto.Unmarshal(wire, e) != nil {
			return
		}
		if Check(e) == nil && Check(WithDefaults(e)) != nil {
			t.Error("legal, but not with its defaults")
		}
	})
}
