package notify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// Data is what a CloudEvent carries. What does not apply is left out.
type Data struct {
	Text       string `json:"text"`
	Experiment string `json:"experiment,omitempty"`
	Run        string `json:"run,omitempty"`
	Schedule   string `json:"schedule,omitempty"`
	Slot       string `json:"slot,omitempty"`
	Phase      string `json:"phase,omitempty"`
	// Verdict is what the run earned, and Outcome what became of the slot.
	Verdict string `json:"verdict,omitempty"`
	Outcome string `json:"outcome,omitempty"`
	By      string `json:"by,omitempty"`
	Why     string `json:"why,omitempty"`
	// Begun and Ended are RFC 3339, in UTC.
	Begun string `json:"begun,omitempty"`
	Ended string `json:"ended,omitempty"`
	// PlannedHosts is how many hosts the run aims at, in Zones.
	PlannedHosts uint32   `json:"planned_hosts,omitempty"`
	Zones        []string `json:"zones,omitempty"`
	// Hosts are the first of those that are not shown clean, HostCount all of them.
	Hosts     []string `json:"hosts,omitempty"`
	HostCount uint32   `json:"host_count,omitempty"`
}

func dataOf(n *pb.Notice) Data {
	d := Data{
		Text: n.GetText(), Experiment: n.GetExperiment(), Run: n.GetRun(), Schedule: n.GetSchedule(), Slot: n.GetSlot(), Phase: n.GetPhase(),
		By: n.GetBy(), Why: n.GetWhy(), Begun: instant(n.GetBegunUnixNanos()), Ended: instant(n.GetEndedUnixNanos()),
		PlannedHosts: n.GetPlannedHosts(), Zones: n.GetZones(), Hosts: n.GetHosts(), HostCount: n.GetHostCount(),
	}
	if n.GetVerdict() != pb.Verdict_VERDICT_UNSPECIFIED {
		d.Verdict = text.Word(n.GetVerdict())
	}
	if n.GetOutcome() != pb.SlotOutcome_SLOT_OUTCOME_UNSPECIFIED {
		d.Outcome = text.Word(n.GetOutcome())
	}
	return d
}

func instant(unixNanos int64) string {
	if unixNanos == 0 {
		return ""
	}
	return time.Unix(0, unixNanos).UTC().Format(time.RFC3339Nano)
}

// cloudEvent is a notice as CloudEvents 1.0 has it, in the structured form: the
// body is the whole event, so that a signature covers all of it.
func cloudEvent(source string, n *pb.Notice) ([]byte, error) {
	e := event.New()
	e.SetID(n.GetId())
	e.SetSource(source)
	e.SetType("squall." + n.GetEvent())
	e.SetTime(time.Unix(0, n.GetAtUnixNanos()).UTC())
	if subject := subject(n); subject != "" {
		e.SetSubject(subject)
	}
	if err := e.SetData(event.ApplicationJSON, dataOf(n)); err != nil {
		return nil, fmt.Errorf("write event: %w", err)
	}
	return e.MarshalJSON()
}

// subject is the run, or the schedule where it is about that.
func subject(n *pb.Notice) string {
	if strings.HasPrefix(n.GetEvent(), "run.") {
		return n.GetRun()
	}
	return n.GetSchedule()
}

// slackText is all that Slack and those of its form understand alike.
type slackText struct {
	Text string `json:"text"`
}

var slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func slackBody(n *pb.Notice) ([]byte, error) {
	line := n.GetText()
	if len(n.GetZones()) > 0 {
		line += fmt.Sprintf(" (%s)", strings.Join(n.GetZones(), ", "))
	}
	if n.GetWhy() != "" && !strings.Contains(line, n.GetWhy()) {
		line += "\n" + n.GetWhy()
	}
	return json.Marshal(slackText{slackEscapes.Replace(line)})
}

// annotation is what Grafana takes at /api/annotations. Instants are in
// milliseconds; one with an end is drawn as a region.
type annotation struct {
	Time    int64    `json:"time"`
	TimeEnd int64    `json:"timeEnd,omitempty"`
	Tags    []string `json:"tags"`
	Text    string   `json:"text"`
}

// grafanaBody is a region from begin to end for a run that is over, and a point
// for everything else.
func grafanaBody(sink *pb.Sink, n *pb.Notice) ([]byte, error) {
	a := annotation{Time: n.GetAtUnixNanos() / 1e6, Text: n.GetText(), Tags: append([]string{"squall", n.GetEvent()}, sink.GetTags()...)}
	for _, tag := range []struct{ word, value string }{
		{"experiment", n.GetExperiment()}, {"run", n.GetRun()}, {"schedule", n.GetSchedule()},
	} {
		if tag.value != "" {
			a.Tags = append(a.Tags, tag.word+":"+tag.value)
		}
	}
	if n.GetVerdict() != pb.Verdict_VERDICT_UNSPECIFIED {
		a.Tags = append(a.Tags, "verdict:"+text.Word(n.GetVerdict()))
	}
	if n.GetBegunUnixNanos() != 0 && n.GetEndedUnixNanos() != 0 {
		a.Time, a.TimeEnd = n.GetBegunUnixNanos()/1e6, n.GetEndedUnixNanos()/1e6
	}
	return json.Marshal(a)
}

// body is what a sink gets for a notice, and the type of it.
func (s *Sender) body(sink *pb.Sink, n *pb.Notice) (body []byte, contentType string, err error) {
	switch sink.GetKind() {
	case pb.SinkKind_SINK_KIND_CLOUDEVENTS:
		body, err = cloudEvent(s.Source, n)
		return body, event.ApplicationCloudEventsJSON + "; charset=utf-8", err
	case pb.SinkKind_SINK_KIND_SLACK:
		body, err = slackBody(n)
	case pb.SinkKind_SINK_KIND_GRAFANA:
		body, err = grafanaBody(sink, n)
	default:
		err = &Failure{Why: fmt.Sprintf("this build knows no sink of kind %d", sink.GetKind()), Fix: "upgrade this server", Final: true}
	}
	return body, "application/json", err
}

// path is what is added to a sink's address.
func path(kind pb.SinkKind) string {
	if kind == pb.SinkKind_SINK_KIND_GRAFANA {
		return "/api/annotations"
	}
	return ""
}

// header is what goes with a body.
func header(contentType, agent string) http.Header {
	return http.Header{"Content-Type": {contentType}, "User-Agent": {agent}}
}
