package experiments

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

func TestDefaultsThatApplyAreListed(t *testing.T) {
	e, _, problems := Decode("derecho.yaml", read(t, "testdata/examples/derecho-2012.yaml"))
	if problems != nil {
		t.Fatal(problems)
	}
	applied := Defaults(e)
	for _, want := range []string{
		"timeline[1].faults[0].power.off.mode = silent",
		"timeline[1].faults[0].power.off.back.boot_limit = 2m",
		"timeline[1].faults[2].lost_contact = revert",
		"probes.checkout.http.method = GET",
		"probes.incidents.timeout = 1s",
	} {
		if !slices.Contains(applied, want) {
			t.Errorf("%q is not listed", want)
		}
	}
	for _, written := range []string{"guardrails.lease = 10s", "revert.timeout = 1m", "probes.checkout.every = 1s", "clock.speed = 1x"} {
		if slices.Contains(applied, written) {
			t.Errorf("%q is listed, but the file says otherwise", written)
		}
	}
	if full := WithDefaults(e); len(Defaults(full)) >= len(applied) || proto.Equal(e, full) {
		t.Error("defaults were not filled in")
	}
}

func TestDefaultsOfSectionsLeftOut(t *testing.T) {
	fault, _ := NewFault("power.off")
	e := WithDefaults(AdHoc(fault, nil, &pb.Target{Zone: []string{"zone-a"}}, time.Minute))
	if got := e.GetGuardrails().GetLease().GetNanos(); got != 10e9 {
		t.Errorf("lease is %d", got)
	}
	if got := e.GetClock().GetSpeed().GetMilliTimes(); got != 1000 {
		t.Errorf("speed is %d", got)
	}
	back := e.GetTimeline()[0].GetFaults()[0].GetFault().GetPowerOff().GetBack()
	if back.GetStart() != pb.BackStart_BACK_START_WORKLOADS || back.GetBootLimit().GetNanos() != 120e9 {
		t.Errorf("the way back is %v", back)
	}
	if e.GetSteadyState() != nil || e.GetSchedule() != nil || e.GetTimeline()[0].GetFaults()[0].GetFlap() != nil {
		t.Error("a section with required keys was made up")
	}
}

// TestFillingTwiceChangesNothing also shows that the first filling left nothing out.
func TestFillingTwiceChangesNothing(t *testing.T) {
	for _, file := range glob(t, "testdata/examples/*.yaml") {
		e, _, _ := Decode(file, read(t, file))
		once := WithDefaults(e)
		if !proto.Equal(once, WithDefaults(once)) {
			t.Errorf("%s: filling in twice is not filling in once", file)
		}
	}
}

// TestAdHocIsALegalExperiment would fail if one command could start what a file could not.
func TestAdHocIsALegalExperiment(t *testing.T) {
	for _, name := range FaultNames() {
		fault, ok := NewFault(name)
		if !ok || FaultName(fault) != name {
			t.Fatalf("fault %s becomes %s", name, FaultName(fault))
		}
		e := AdHoc(fault, &pb.Step{LostContact: pb.LostContact_LOST_CONTACT_HOLD}, &pb.Target{Zone: []string{"zone-a"}}, 20*time.Second)
		d := newDecoder("", "experiment")
		d.checkExperiment(e)
		s := e.GetTimeline()[0].GetFaults()[0]
		if s.GetFor().GetNanos() != 20e9 || s.GetLostContact() != pb.LostContact_LOST_CONTACT_HOLD {
			t.Errorf("%s: step is %v", name, s)
		}
		if name != "load.flood" && len(d.problems) > 0 {
			t.Errorf("%s: %v", name, Problems(d.problems))
		}
	}
	if _, ok := NewFault("power.of"); ok {
		t.Error("a misspelt fault was made")
	}
}
