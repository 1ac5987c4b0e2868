package bench

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	pb "squall/proto/squall/v1"
)

// fiveHosts select two zones with two hosts each, and the street: a command may
// not hit every zone that serves.
var fiveHosts = []string{"--zone", "zone-a", "--zone", "zone-b", "--zone", "street"}

// inject starts a fault, and says when the command was given and what it took.
func (r *region) inject(args ...string) (run string, began time.Time, took time.Duration) {
	r.Helper()
	args = slices.Concat([]string{"inject"}, args, []string{"--for", "60s", "--detach"})
	began = time.Now()
	out, took, err := r.try(args...)
	words := bytes.Fields(out)
	if err != nil || len(words) < 2 || string(words[0]) != "active" {
		r.Fatalf("%v: did not become active: %v\n%s", args, err, out)
	}
	return string(words[1]), began, took
}

// end undoes a run, and says how long that took; it returns when the run has
// let go of its hosts too.
func (r *region) end(run string) time.Duration {
	r.Helper()
	took := r.run("undo", run)
	r.rest()
	return took
}

// rest waits until no run is under way.
func (r *region) rest() {
	r.Helper()
	for began := time.Now(); time.Since(began) < commandLimit; time.Sleep(50 * time.Millisecond) {
		out, _ := r.output("get", "runs", "-o", "json")
		runs := &pb.ListRunsResponse{}
		must(r, protojson.Unmarshal(out, runs))
		if !slices.ContainsFunc(runs.GetRuns(), func(s *pb.RunSummary) bool { return s.GetState() != pb.RunState_RUN_STATE_DONE }) {
			return
		}
	}
	r.Fatal("a run does not end")
}

// BenchmarkInjectAndUndo is one DNS blackhole on five hosts and away again.
// Active is when the last host began, by its own journal; the command returns
// a little later. The baseline is a command that only asks.
func BenchmarkInjectAndUndo(b *testing.B) {
	r := newRegion(b, "lab", "shop")
	var active, returned, undone, asked []time.Duration
	for n := range rounds + 1 {
		run, began, took := r.inject(append([]string{"dns.fail"}, fiveHosts...)...)
		held := instants(r.report(run), pb.StepState_STEP_STATE_HELD)
		ended := r.end(run)
		if n == 0 {
			continue // no host measures its first arming
		}
		returned, undone = append(returned, took), append(undone, ended)
		active = append(active, time.Duration(slices.Max(held)-began.UnixNano()))
		asked = append(asked, r.run("get", "runs"))
	}
	ask := "squall get runs"
	row{name: "inject dns.fail, five hosts: active", unit: "ms", values: millis(active), judged: median, limit: 35, base: millis(asked), baseName: ask}.print()
	row{name: "inject dns.fail, five hosts: returned", unit: "ms", values: millis(returned), judged: median, limit: 40, base: millis(asked), baseName: ask}.print()
	row{name: "undo, five hosts: proved clean", unit: "ms", values: millis(undone), judged: median, limit: 30, base: millis(asked), baseName: ask}.print()
}
