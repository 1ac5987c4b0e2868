package notify

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// samples are a notice of each event, as the state makes them.
func samples() []*pb.Notice {
	at := time.Date(2026, 12, 1, 13, 30, 0, 0, time.UTC).UnixNano()
	of := func(event string, seconds int64, text string) *pb.Notice {
		return &pb.Notice{
			Id: "zone-loss-7b3f21c0/" + event + "/1", Event: event, AtUnixNanos: at + seconds*1e9, Text: text, Experiment: "zone-loss", Run: "zone-loss-7b3f21c0",
			Schedule: "zone-loss", Slot: "2026-12-01T14:30", By: "kim", Why: "schedule zone-loss, slot 2026-12-01T14:30: once a month", PlannedHosts: 6, Zones: []string{"zone-b"},
		}
	}
	admitted := of(state.EventRunAdmitted, 0, "run zone-loss-7b3f21c0 of zone-loss is let in, started by kim")
	begun := of(state.EventRunBegun, 12, "run zone-loss-7b3f21c0 of zone-loss begins on 6 hosts")
	phase := of(state.EventRunPhase, 12, "run zone-loss-7b3f21c0 of zone-loss: phase dark: zone-b goes dark")
	phase.Phase = "dark"
	verdict := of(state.EventRunVerdict, 80, "run zone-loss-7b3f21c0 of zone-loss ended: fail")
	verdict.Verdict = pb.Verdict_VERDICT_FAIL
	aborted := of(state.EventRunAborted, 30, "run zone-loss-7b3f21c0 of zone-loss ended: aborted, errors above 5 %")
	aborted.Verdict = pb.Verdict_VERDICT_ABORTED
	halted := of(state.EventRunHalted, 30, "run zone-loss-7b3f21c0 of zone-loss ended: halted, real trouble")
	halted.Verdict = pb.Verdict_VERDICT_HALTED
	notStarted := of(state.EventRunNotStarted, 60, "run zone-loss-7b3f21c0 of zone-loss ended: not started")
	notStarted.Verdict = pb.Verdict_VERDICT_NOT_STARTED
	residue := of(state.EventRunResidue, 80, "run zone-loss-7b3f21c0 of zone-loss: 1 host not shown clean: web-b2")
	residue.Hosts, residue.HostCount = []string{"web-b2"}, 1
	for _, n := range []*pb.Notice{begun, phase, verdict, aborted, halted, residue} {
		n.BegunUnixNanos = at + 12e9
	}
	for _, n := range []*pb.Notice{verdict, aborted, halted, notStarted} {
		n.EndedUnixNanos = n.GetAtUnixNanos()
	}
	paused := &pb.Notice{
		Id: "zone-loss/schedule.paused/zone-loss-7b3f21c0", Event: state.EventSchedulePaused, AtUnixNanos: at + 80e9, Experiment: "zone-loss", Schedule: "zone-loss",
		Slot: "2026-12-01T14:30", Run: "zone-loss-7b3f21c0", Verdict: pb.Verdict_VERDICT_FAIL, By: "on_fail", Why: "run zone-loss-7b3f21c0 of slot 2026-12-01T14:30 ended as fail",
		Text: "schedule zone-loss is paused: run zone-loss-7b3f21c0 of slot 2026-12-01T14:30 ended as fail; let it go on with: squall schedule resume zone-loss",
	}
	slotMissed := &pb.Notice{
		Id: "zone-loss/slot.missed/2026-12-01T14:30/1", Event: state.EventSlotMissed, AtUnixNanos: at + 600e9, Experiment: "zone-loss", Schedule: "zone-loss",
		Slot: "2026-12-01T14:30", Outcome: pb.SlotOutcome_SLOT_OUTCOME_MISSED, Why: "nobody conducted when it came",
		Text: "schedule zone-loss: slot 2026-12-01T14:30 began no run: missed, nobody conducted when it came",
	}
	return []*pb.Notice{admitted, begun, phase, verdict, aborted, halted, notStarted, residue, paused, slotMissed}
}

// TestEveryEventIsDocumented with a body that is as the encoder writes it.
func TestEveryEventIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/notify.md")
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, n := range samples() {
		body, err := cloudEvent("urn:squall:3f2a9c41d07e", n)
		if err != nil {
			t.Fatal(err)
		}
		decoded(t, body)
		var out bytes.Buffer
		if err := json.Indent(&out, body, "", "  "); err != nil {
			t.Fatal(err)
		}
		shown = append(shown, n.GetEvent())
		if block := "### `" + n.GetEvent() + "`"; !strings.Contains(string(page), block) || !strings.Contains(string(page), "```json\n"+out.String()+"\n```") {
			t.Errorf("docs/notify.md does not have %s with\n```json\n%s\n```", block, out.String())
		}
	}
	if !slices.Equal(shown, state.Events()) {
		t.Errorf("shown are %v", shown)
	}
}

func TestSlackReadsWhatPeopleWrote(t *testing.T) {
	body, err := slackBody(&pb.Notice{Text: "run r of <b> & co ended: fail", Zones: []string{"zone-a", "zone-b"}, Why: "<!channel> look"})
	if want := `{"text":"run r of \u0026lt;b\u0026gt; \u0026amp; co ended: fail (zone-a, zone-b)\n\u0026lt;!channel\u0026gt; look"}`; err != nil || string(body) != want {
		t.Errorf("%s, %v", body, err)
	}
}

// TestGrafanaDrawsARegionFromBeginToEnd, and points for all else.
func TestGrafanaDrawsARegionFromBeginToEnd(t *testing.T) {
	r, at := newRig(t), newReceiver(t, nil)
	r.env["SQUALL_SECRET_GRAFANA"], r.env["SQUALL_SECRET_GRAFANA_HOSTS"] = "glsa_1", at.host()
	sink := &pb.Sink{Name: "grafana", Kind: pb.SinkKind_SINK_KIND_GRAFANA, Url: at.URL + "/grafana/", TokenSecret: "grafana", Tags: []string{"game-day"}}
	client, err := r.sender().client(sink)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range samples() {
		if err := r.sender().send(t.Context(), client, sink, n); err != nil {
			t.Fatal(err)
		}
	}
	for i, g := range at.requests() {
		n := samples()[i]
		var a annotation
		if err := json.Unmarshal(g.body, &a); err != nil {
			t.Fatal(err)
		}
		if g.path != "/grafana/api/annotations" || g.header.Get("Authorization") != "Bearer glsa_1" || a.Text != n.GetText() {
			t.Errorf("%s %v %s", g.path, g.header, g.body)
		}
		over := n.GetBegunUnixNanos() != 0 && n.GetEndedUnixNanos() != 0
		if region := a.TimeEnd != 0; region != over || region && (a.Time != n.GetBegunUnixNanos()/1e6 || a.TimeEnd != n.GetEndedUnixNanos()/1e6) || !region && a.Time != n.GetAtUnixNanos()/1e6 {
			t.Errorf("%s: %s", n.GetEvent(), g.body)
		}
		if !slices.Contains(a.Tags, "squall") || !slices.Contains(a.Tags, "game-day") || !slices.Contains(a.Tags, "experiment:zone-loss") || !slices.Contains(a.Tags, n.GetEvent()) {
			t.Errorf("tags %v", a.Tags)
		}
	}
}

// FuzzBodies: whatever people wrote, receivers get JSON, and an event that the SDK takes.
func FuzzBodies(f *testing.F) {
	f.Add("text", "why", "run", "2026-12-01T10:00", int64(1), uint32(3))
	f.Add("\x00\xff<!channel>", "\u2028", "", "", int64(-1<<62), uint32(0))
	f.Fuzz(func(t *testing.T, text, why, run, slot string, at int64, verdict uint32) {
		n := &pb.Notice{
			Id: "id/" + run, Event: state.EventRunVerdict, Text: text, Why: why, Run: run, Slot: slot, AtUnixNanos: at,
			BegunUnixNanos: at, EndedUnixNanos: at, Verdict: pb.Verdict(verdict), Hosts: []string{text}, Zones: []string{why},
		}
		s := &Sender{Source: "urn:squall:test"}
		for kind := range asDefault {
			body, _, err := s.body(&pb.Sink{Kind: kind, Tags: []string{text}}, n)
			if err != nil || !json.Valid(body) {
				t.Fatalf("%v: %v: %q", kind, err, body)
			}
			if kind == pb.SinkKind_SINK_KIND_CLOUDEVENTS {
				var e event.Event
				if err := e.UnmarshalJSON(body); err != nil || e.Validate() != nil {
					t.Fatalf("%v, %v: %q", err, e.Validate(), body)
				}
			}
		}
	})
}
