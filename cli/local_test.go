package main

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// agentThat answers questions about its state as a test says.
type agentThat struct {
	pb.LocalServiceClient
	tells func() (*pb.LocalStatusResponse, error)
}

// Undo ends nothing: there is nothing to end.
func (a agentThat) Undo(context.Context, *pb.LocalUndoRequest, ...grpc.CallOption) (*pb.LocalUndoResponse, error) {
	return &pb.LocalUndoResponse{}, nil
}

func (a agentThat) Resume(context.Context, *pb.LocalResumeRequest, ...grpc.CallOption) (*pb.LocalResumeResponse, error) {
	return &pb.LocalResumeResponse{}, nil
}

func (a agentThat) Status(context.Context, *pb.LocalStatusRequest, ...grpc.CallOption) (*pb.LocalStatusResponse, error) {
	return a.tells()
}

// localAgent is the client of such an agent.
func localAgent(stdout io.Writer, tells func() (*pb.LocalStatusResponse, error)) *localClient {
	a := &app{stdout: stdout, stderr: io.Discard, settings: &settings{Timeout: 3 * time.Second}}
	return &localClient{LocalServiceClient: agentThat{tells: tells}, app: a}
}

var heldStep = &pb.StepStatus{Run: "local-1", Step: "dns.fail"}

// TestLocalInjectEndsWhereTheAgentIsGone holds that nobody waits for ever: not
// for an agent that is dead, nor for one that has forgotten the fault.
func TestLocalInjectEndsWhereTheAgentIsGone(t *testing.T) {
	for name, tells := range map[string]func() (*pb.LocalStatusResponse, error){
		"the agent is dead":          func() (*pb.LocalStatusResponse, error) { return nil, status.Error(codes.Unavailable, "no such socket") },
		"the agent tells of nothing": func() (*pb.LocalStatusResponse, error) { return &pb.LocalStatusResponse{}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				err := localAgent(io.Discard, tells).stay(t.Context(), heldStep)
				if exitCode(err) != experiments.ExitUnreachable || !strings.Contains(err.Error(), "ends at its deadline") {
					t.Errorf("it ends with %v", err)
				}
				if took := time.Since(began); took > localSilence+localPoll {
					t.Errorf("it waited for %v", took)
				}
			})
		})
	}
}

// TestLocalInjectOutlivesARestartOfTheWorker, which is silent for some seconds.
func TestLocalInjectOutlivesARestartOfTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var out bytes.Buffer
		err := localAgent(&out, func() (*pb.LocalStatusResponse, error) {
			switch now := time.Since(began); {
			case now > 20*time.Second:
				return &pb.LocalStatusResponse{Steps: []*pb.StepStatus{{Run: "local-1", Step: "dns.fail", State: pb.StepState_STEP_STATE_REVERTED, Cause: pb.RevertCause_REVERT_CAUSE_END, Evidence: []*pb.Evidence{{Name: "probe", Holds: true}}}}}, nil
			case now > 5*time.Second && now < 14*time.Second:
				return nil, status.Error(codes.Unavailable, "starting")
			}
			return &pb.LocalStatusResponse{Steps: []*pb.StepStatus{heldStep}}, nil
		}).stay(t.Context(), heldStep)
		if err != nil || !strings.Contains(out.String(), "reverted") {
			t.Errorf("%v: %s", err, &out)
		}
	})
}

// TestLocalStatusIsInOrder of the host's journal, and says since when.
func TestLocalStatusIsInOrder(t *testing.T) {
	step := func(run string, seq uint64) *pb.StepStatus {
		return &pb.StepStatus{Run: run, Step: "s", Journal: []*pb.JournalMark{{Seq: seq, ActualUnixNanos: int64(seq) * 1e9}}}
	}
	var out bytes.Buffer
	table(localStatusView(&pb.LocalStatusResponse{Steps: []*pb.StepStatus{{Run: "new", Step: "s"}, step("b", 7), step("a", 9), step("c", 3)}}))(&out)
	at := func(text string) int { return strings.Index(out.String(), text) }
	places := []int{at("c s"), at("b s"), at("a s"), at("new s")}
	if places[0] < 0 || !slices.IsSorted(places) {
		t.Errorf("out of order:\n%s", &out)
	}
	if !strings.Contains(out.String(), " since "+clockTime(7e9)) {
		t.Errorf("without times:\n%s", &out)
	}
}

// TestUndoSaysWhatItEnded and what had ended before.
func TestUndoSaysWhatItEnded(t *testing.T) {
	for want, r := range map[string]*pb.UndoResponse{
		"ended a b":                            {Runs: []string{"a", "b"}},
		"ended before: c":                      {EndedBefore: []string{"c"}},
		"ended a; ended before: c":             {Runs: []string{"a"}, EndedBefore: []string{"c"}},
		"nothing to undo: no run is under way": {},
	} {
		if got := undoLine(r); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
}

// mute is an agent that answers nobody: its process is killed, hangs in the
// kernel, and keeps its connections.
type mute struct{ pb.LocalServiceClient }

func (mute) Status(ctx context.Context, _ *pb.LocalStatusRequest, _ ...grpc.CallOption) (*pb.LocalStatusResponse, error) {
	<-ctx.Done()
	return nil, status.FromContextError(ctx.Err()).Err()
}

// TestStatusTurnsFromAWorkerThatHangsToTheNext holds that who asks how a host
// stands waits for no disk: neither on the connection of a worker that hangs at
// one, nor for ever.
func TestStatusTurnsFromAWorkerThatHangsToTheNext(t *testing.T) {
	for name, left := range map[string]int{"the next answers": 1, "nobody answers": 100} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				c := localAgent(&out, nil)
				c.LocalServiceClient, c.conn = mute{}, io.NopCloser(nil)
				c.redial = func() (pb.LocalServiceClient, io.Closer, error) {
					if left--; left > 0 {
						return mute{}, io.NopCloser(nil), nil
					}
					return agentThat{tells: func() (*pb.LocalStatusResponse, error) { return &pb.LocalStatusResponse{Host: "web-a1"}, nil }}, io.NopCloser(nil), nil
				}
				began := time.Now()
				err := c.status(t.Context())
				switch took := time.Since(began); {
				case left == 0 && (err != nil || took > localAnswer || !strings.Contains(out.String(), "web-a1")):
					t.Errorf("after %v: %v, %s", took, err, out.String())
				case left > 0 && (exitCode(err) != experiments.ExitUnreachable || took > localSilence):
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}

// TestLocalInjectEndsWithItsVerdict: a fault that did not bite is no success on
// one host either.
func TestLocalInjectEndsWithItsVerdict(t *testing.T) {
	bit, missed := []*pb.Evidence{{Name: "probe", Holds: true}}, []*pb.Evidence{{Name: "probe", Text: "0 of 4 lookups got no answer"}}
	for _, c := range []struct {
		name string
		end  *pb.StepStatus
		code int
		says string
	}{
		{"it bit", &pb.StepStatus{Cause: pb.RevertCause_REVERT_CAUSE_END, Evidence: bit}, 0, ""},
		{"it did not bite", &pb.StepStatus{Cause: pb.RevertCause_REVERT_CAUSE_END, Evidence: missed}, experiments.ExitInconclusive, "0 of 4 lookups"},
		{"nothing shows it", &pb.StepStatus{Cause: pb.RevertCause_REVERT_CAUSE_END}, experiments.ExitInconclusive, "no evidence"},
		{"it ended early", &pb.StepStatus{Cause: pb.RevertCause_REVERT_CAUSE_LEASE, Evidence: bit}, experiments.ExitInconclusive, "ended early"},
		{"a person ended it", &pb.StepStatus{Cause: pb.RevertCause_REVERT_CAUSE_LOCAL, Evidence: bit}, experiments.ExitHalted, ""},
		{"its workload is down", &pb.StepStatus{
			Cause: pb.RevertCause_REVERT_CAUSE_END, Evidence: bit, RecoveryFailures: []*pb.RecoveryFailure{{Workload: "web", Why: "it ends at once"}},
		}, experiments.ExitFail, "web did not come back"},
		{"residue is left", &pb.StepStatus{Cause: pb.RevertCause_REVERT_CAUSE_END, Evidence: missed, Residue: []string{"x"}}, experiments.ExitResidue, ""},
	} {
		c.end.Run, c.end.Step, c.end.State = heldStep.GetRun(), heldStep.GetStep(), pb.StepState_STEP_STATE_REVERTED
		synctest.Test(t, func(t *testing.T) {
			err := localAgent(io.Discard, func() (*pb.LocalStatusResponse, error) {
				return &pb.LocalStatusResponse{Steps: []*pb.StepStatus{c.end}}, nil
			}).stay(t.Context(), heldStep)
			if exitCode(err) != c.code || c.says != "" && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: it ends with %d, %v; want %d", c.name, exitCode(err), err, c.code)
			}
		})
	}
}

// TestLocalUndoOfNothingSaysSo: a misspelt run is no success.
func TestLocalUndoOfNothingSaysSo(t *testing.T) {
	c := localAgent(io.Discard, func() (*pb.LocalStatusResponse, error) {
		return &pb.LocalStatusResponse{Steps: []*pb.StepStatus{heldStep}}, nil
	})
	for run, want := range map[string]int{"local-2": experiments.ExitUsage, "local-1": 0, "": 0} {
		if err := c.undo(t.Context(), run); exitCode(err) != want {
			t.Errorf("undo %q ends with %v, want code %d", run, err, want)
		}
	}
}

// TestLocalStatusTellsWhatIsOverInThePast: who looks at a host sees at once what
// is injected there now and what is left over, and takes nothing that has ended,
// or never began, for a fault that acts.
func TestLocalStatusTellsWhatIsOverInThePast(t *testing.T) {
	touches := []string{"drop 100% of lookups for the host; undo: detach squall/l/dns"}
	mark := []*pb.JournalMark{{Seq: 1, ActualUnixNanos: 7e9}}
	step := func(run string, state pb.StepState) *pb.StepStatus {
		return &pb.StepStatus{Run: run, Step: "dns.fail", State: state, Touches: touches, Journal: mark}
	}
	refused := step("local-3", pb.StepState_STEP_STATE_REFUSED)
	refused.Refused = &pb.Problem{Message: "the disk is full"}
	for name, c := range map[string]struct {
		steps     []*pb.StepStatus
		says, not []string
		names     []string
	}{
		"held": {
			[]*pb.StepStatus{step("local-1", pb.StepState_STEP_STATE_HELD)},
			[]string{"injected: local-1 dns.fail held since ", "  touches: drop 100% of lookups for the host; undo: detach", "residue: 0"},
			[]string{"injected: nothing", "ended"},
			[]string{"local-1/dns.fail"},
		},
		"over": {
			[]*pb.StepStatus{step("local-2", pb.StepState_STEP_STATE_REVERTED), refused},
			[]string{
				"injected: nothing", "residue: 0", "ended: local-2 dns.fail reverted at ", "  touched: drop 100% of lookups for the host\n",
				"ended: local-3 dns.fail refused at ", "  nothing was touched: the disk is full",
			},
			[]string{"touches:", "undo:", "since"},
			nil,
		},
		"over with residue": {
			[]*pb.StepStatus{{Run: "local-2", Step: "s", State: pb.StepState_STEP_STATE_REVERTED, Residue: []string{"a program"}}},
			[]string{"injected: nothing", "residue: a program (of local-2)"},
			[]string{"residue: 0"},
			nil,
		},
	} {
		var out bytes.Buffer
		v := localStatusView(&pb.LocalStatusResponse{Host: "web-a1", Steps: c.steps})
		table(v)(&out)
		for _, want := range c.says {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: it lacks %q:\n%s", name, want, &out)
			}
		}
		for _, not := range c.not {
			if strings.Contains(out.String(), not) {
				t.Errorf("%s: it says %q:\n%s", name, not, &out)
			}
		}
		if !slices.Equal(v.names, c.names) {
			t.Errorf("%s: its names are %q", name, v.names)
		}
	}
}

// TestLocalResumeOfNothingSaysSo: a host that is not halted is not resumed, nor
// by the id of another halt; a damaged journal is confirmed without one.
func TestLocalResumeOfNothingSaysSo(t *testing.T) {
	for name, c := range map[string]struct {
		now  *pb.LocalStatusResponse
		id   string
		code int
		says string
	}{
		"not halted":      {&pb.LocalStatusResponse{}, "", experiments.ExitUsage, "not halted: there is nothing to resume"},
		"another halt":    {&pb.LocalStatusResponse{Halt: &pb.HaltLatch{Id: "local-1", Engaged: true}}, "local-2", experiments.ExitUsage, `not halted by "local-2"`},
		"this halt":       {&pb.LocalStatusResponse{Halt: &pb.HaltLatch{Id: "local-1", Engaged: true}}, "local-1", 0, ""},
		"whichever halt":  {&pb.LocalStatusResponse{Halt: &pb.HaltLatch{Id: "local-1", Engaged: true}}, "", 0, ""},
		"damaged journal": {&pb.LocalStatusResponse{Damage: &pb.Damage{Id: "d"}}, "", 0, ""},
	} {
		err := localAgent(io.Discard, func() (*pb.LocalStatusResponse, error) { return c.now, nil }).resume(t.Context(), c.id)
		if exitCode(err) != c.code || c.says != "" && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: it ends with %v, want code %d and %q", name, err, c.code, c.says)
		}
	}
}
