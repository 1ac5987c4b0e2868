package plan_test

import (
	"strings"
	"testing"
	"time"

	"squall/experiments/plan"
	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
)

const freely = "allow_region_wide: true, max_zones: 3"

// opinion is what one guard says about an experiment, five seconds after t0.
func opinion(t *testing.T, g *pb.Guard, text string, w plan.World) *pb.GuardOpinion {
	t.Helper()
	if w.Hosts == nil {
		w.Hosts = region()
	}
	p, _ := planned(t, text, plan.World{Hosts: w.Hosts})
	g.Name, w.Guards = "g", []*pb.Guard{g}
	if w.NowUnixNanos == 0 {
		w.NowUnixNanos = t0 + 5e9
	}
	return plan.Opinions(p, w)[0]
}

func TestGuardsSayNumbers(t *testing.T) {
	share := func(of, name string, ppm uint32) *pb.Guard {
		return &pb.Guard{Rule: &pb.Guard_MaxShare{MaxShare: &pb.GuardShare{Of: of, Name: name, Most: &pb.Share{Ppm: ppm}}}}
	}
	const kept, broken, silent = pb.GuardStanding_GUARD_STANDING_KEPT, pb.GuardStanding_GUARD_STANDING_BROKEN, pb.GuardStanding_GUARD_STANDING_SILENT
	zoneA, twoZones := with(freely, "zone: zone-a", plainDark), with(freely, "zone: [zone-a, zone-b]", plainDark)
	lost := change("db-b3", func(h *pb.Host) { h.Presence = pb.Presence_PRESENCE_LOST })
	for _, c := range []struct {
		name     string
		guard    *pb.Guard
		text     string
		hosts    []*pb.Host
		standing pb.GuardStanding
		says     string
	}{
		{"two zones of one", &pb.Guard{Rule: &pb.Guard_MaxZones{MaxZones: 1}}, twoZones, nil, broken, "2 zones, at most 1"},
		{"one zone of one", &pb.Guard{Rule: &pb.Guard_MaxZones{MaxZones: 1}}, zoneA, nil, kept, "1 zone, at most 1"},
		{"in another environment", &pb.Guard{Environments: []string{"prod"}, Rule: &pb.Guard_MaxZones{MaxZones: 1}}, twoZones, nil, silent, ""},
		{"one of three", &pb.Guard{Rule: &pb.Guard_MajorityOf{MajorityOf: "db"}}, zoneA, nil, kept, "1 of 3 of role db"},
		{"one of three beside a lost one", &pb.Guard{Rule: &pb.Guard_MajorityOf{MajorityOf: "db"}}, zoneA, lost, broken, "2 of 3 of role db"},
		{"any role", &pb.Guard{Rule: &pb.Guard_MajorityOf{MajorityOf: "*"}}, twoZones, nil, broken, "2 of 3 of role db"},
		{"a role that is not touched", &pb.Guard{Rule: &pb.Guard_MajorityOf{MajorityOf: "cache"}}, zoneA, nil, silent, ""},
		{"a third of the fleet", share("fleet", "", 340_000), zoneA, nil, kept, "3 of 9 hosts of the fleet (33% of 34%)"},
		{"more than a third", share("fleet", "", 330_000), zoneA, nil, broken, "3 of 9 hosts of the fleet (33% of 33%)"},
		{"a whole zone", share("zone", "", 900_000), zoneA, nil, broken, "3 of 3 hosts of zone zone-a (100% of 90%)"},
		{"another zone", share("zone", "zone-b", 900_000), zoneA, nil, silent, ""},
		{"a third of a role", share("role", "db", 340_000), zoneA, nil, kept, "1 of 3 hosts of role db (33% of 34%)"},
		{"hosts at once", &pb.Guard{Rule: &pb.Guard_HostsAMinute{HostsAMinute: 2}}, zoneA, nil, broken, "3 hosts a minute, at most 2"},
		{"a protected role", &pb.Guard{Rule: &pb.Guard_Protect{Protect: &pb.GuardProtect{Match: []string{"role=db"}}}}, zoneA, nil, broken, "1 protected"},
		{"nothing protected", &pb.Guard{Rule: &pb.Guard_Protect{Protect: &pb.GuardProtect{Match: []string{"zone=zone-b"}}}}, zoneA, nil, kept, "0 protected"},
		{"a rule of a later build", &pb.Guard{}, zoneA, nil, broken, "not known"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := opinion(t, c.guard, c.text, plan.World{Hosts: c.hosts})
			if o.GetStanding() != c.standing || o.GetUsed() != c.says || (c.standing == broken) != (o.GetMessage() != "" && o.GetFix() != "") {
				t.Errorf("%v", o)
			}
		})
	}
}

// TestGuardEndsNoRunForWhatAnExceptionLetIn: the one that was there before goes on.
func TestGuardEndsNoRunForWhatAnExceptionLetIn(t *testing.T) {
	first := running(t, "first", with(freely, "zone: zone-a", plainDark), region())
	other := running(t, "other", with(freely, "zone: zone-b", plainDark), region())
	w := plan.World{Hosts: region(), NowUnixNanos: t0 + 5e9, Guards: []*pb.Guard{{Name: "one-zone", Rule: &pb.Guard_MaxZones{MaxZones: 1}}}}
	w.Active = []plan.Active{first, other}
	if o := plan.GuardBreach("first", w); o == nil || !strings.Contains(o.GetMessage(), "2 zones with a fault at one time (zone-a, zone-b)") {
		t.Errorf("two runs in two zones: %v", o)
	}
	other.Excepted = []string{"one-zone"}
	w.Active = []plan.Active{first, other}
	for _, run := range []string{"first", "other", "unheard of"} {
		if o := plan.GuardBreach(run, w); o != nil {
			t.Errorf("%s is to end: %v", run, o)
		}
	}
	p, e := planned(t, with(freely, "host: web-c1", plainDark), plan.World{Hosts: region()})
	if problems := plan.Admissible(p, e, w); len(problems) == 0 {
		t.Error("a third zone is let in beside the excepted one")
	}
}

// TestHostThatIsLostInMidRunBreaksAMajority, and the leader hears of it as of a file's guardrail.
func TestHostThatIsLostInMidRunBreaksAMajority(t *testing.T) {
	run := running(t, "r", with(freely, "host: db-a3", plainDark), region())
	w := plan.World{Hosts: region(), NowUnixNanos: t0 + 5e9, Active: []plan.Active{run}, Guards: []*pb.Guard{{Name: "quorum", Rule: &pb.Guard_MajorityOf{MajorityOf: "db"}}}}
	if p := plan.Breach("r", w); p != nil {
		t.Errorf("one of three: %v", p)
	}
	w.Hosts = change("db-b3", func(h *pb.Host) { h.Presence = pb.Presence_PRESENCE_LOST })
	if p := plan.Breach("r", w); !strings.Contains(p.GetMessage(), "guardrail quorum of the cluster: 2 of 3 hosts of role db hurt at one time, 1 of them lost") {
		t.Errorf("says %v", p)
	}
}

// TestNamesOfAGuardAreShort: each is read in every judgement, on every server.
func TestNamesOfAGuardAreShort(t *testing.T) {
	longest := strings.Repeat("n", 128)
	share := func(of, name string) *pb.Guard {
		return &pb.Guard{Rule: &pb.Guard_MaxShare{MaxShare: &pb.GuardShare{Of: of, Name: name, Most: &pb.Share{Ppm: 200_000}}}}
	}
	for path, guard := range map[string]func(name string) *pb.Guard{
		"environment": func(name string) *pb.Guard {
			return &pb.Guard{Environments: []string{"lab", name}, Rule: &pb.Guard_MaxZones{MaxZones: 1}}
		},
		"majority-of": func(name string) *pb.Guard { return &pb.Guard{Rule: &pb.Guard_MajorityOf{MajorityOf: name}} },
		"of":          func(name string) *pb.Guard { return share("zone", name) },
		"protect": func(name string) *pb.Guard {
			return &pb.Guard{Rule: &pb.Guard_Protect{Protect: &pb.GuardProtect{Match: []string{"role=" + name}}}}
		},
		"timezone": func(name string) *pb.Guard {
			return &pb.Guard{Rule: &pb.Guard_Closed{Closed: &pb.GuardClosed{Hours: []string{"sat,sun"}, Timezone: name}}}
		},
	} {
		g := guard(longest)
		if g.Name = "g"; plan.CheckGuard(g) != nil {
			t.Errorf("%s: a name of 128 bytes is refused: %v", path, plan.CheckGuard(g))
		}
		g = guard(longest + "n")
		if g.Name = "g"; plan.CheckGuard(g).GetPath() != path || plan.CheckGuard(g).GetFix() == "" {
			t.Errorf("%s: of a name of 129 bytes it says %v", path, plan.CheckGuard(g))
		}
	}
	label := &pb.Guard{Name: "g", Rule: &pb.Guard_Protect{Protect: &pb.GuardProtect{Match: []string{longest + "n=v"}}}}
	if plan.CheckGuard(label).GetPath() != "protect" {
		t.Error("a label of 129 bytes is taken")
	}
}

// TestSilentGuardCostsNoWords: what it would say stands nowhere.
func TestSilentGuardCostsNoWords(t *testing.T) {
	g := &pb.Guard{Rule: &pb.Guard_MaxZones{MaxZones: 1}}
	for range 32 {
		g.Environments = append(g.Environments, strings.Repeat("n", 128))
	}
	if o := opinion(t, g, with(freely, "zone: zone-a", plainDark), plan.World{}); o.GetStanding() != pb.GuardStanding_GUARD_STANDING_SILENT || o.GetRule() != "" {
		t.Errorf("%v", o)
	}
}

func TestForecastKnowsHoursAndWhenExceptionsEnd(t *testing.T) {
	offsets, err := schedule.Offsets("UTC", time.Unix(0, t0))
	if err != nil {
		t.Fatal(err)
	}
	p, _ := planned(t, with(freely, "zone: zone-a", plainDark), plan.World{Hosts: region()})
	w := plan.World{Hosts: region(), NowUnixNanos: t0, Guards: []*pb.Guard{
		{Name: "hours", Rule: &pb.Guard_Closed{Closed: &pb.GuardClosed{Hours: []string{"01:00-02:00"}, Timezone: "UTC", Offsets: offsets}}},
		{Name: "protected", Rule: &pb.Guard_Protect{Protect: &pb.GuardProtect{Match: []string{"zone=zone-a"}}}},
		{Name: "gap", Rule: &pb.Guard_GapNanos{GapNanos: 60e9}},
	}}
	w.Exceptions = map[string]*pb.GuardException{p.GetDigest(): {Digest: p.GetDigest(), Guards: []string{"protected"}, UntilUnixNanos: t0 + 3600e9}}
	f := plan.NewForecast(p, w)
	if why := f.At(t0 + 10e9); len(why) != 0 { // 00:16 of the first day
		t.Errorf("at once: %q", why)
	}
	if why := f.At(t0 + 2700e9); len(why) != 1 || !strings.Contains(why[0], "hours of the cluster: nothing runs in 01:00-02:00") {
		t.Errorf("after an hour: %q", why)
	}
	if why := f.At(t0 + 7200e9); len(why) != 1 || !strings.Contains(why[0], "protected of the cluster") {
		t.Errorf("when the exception has ended: %q", why)
	}
	if guard, gap := f.Gap(); guard != "gap" || gap != time.Minute {
		t.Errorf("%s demands %s", guard, gap)
	}
}
