package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/stats"

	"squall/experiments/catalog"
	"squall/experiments/schedule"
	"squall/proto/parts"
	pb "squall/proto/squall/v1"
	"squall/server/access"
	"squall/server/state"
)

// mostAnswer is what no message to a person exceeds, in bytes.
const mostAnswer = 1 << 20

// scale measures the messages that a client gets.
type scale struct {
	stats.Handler
	most, all atomic.Int64
}

func (s *scale) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (s *scale) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (s *scale) HandleConn(context.Context, stats.ConnStats)                       {}

// HandleRPC implements stats.Handler.
func (s *scale) HandleRPC(_ context.Context, r stats.RPCStats) {
	if in, ok := r.(*stats.InPayload); ok {
		s.most.Store(max(s.most.Load(), int64(in.Length)))
		s.all.Add(int64(in.Length))
	}
}

// crowd is a run on a thousand hosts that hold its fault, each with a story to tell.
func (r *region) crowd(lead *unit) {
	r.t.Helper()
	const thousand, batch = 1000, 100
	step := &pb.PlannedStep{Id: "p.dns.fail", Fault: &pb.Fault{Kind: &pb.Fault_DnsFail{DnsFail: &pb.DNSFail{}}}, EndNanos: 600e9}
	updates := &pb.UpdateHosts{}
	for i := range thousand {
		name := fmt.Sprintf("web-%04d", i)
		step.Slots = append(step.Slots, &pb.HostSlot{Host: name, EndNanos: 600e9, DeadlineNanos: 700e9})
		updates.Hosts = append(updates.Hosts, &pb.HostUpdate{
			Name: name, Server: lead.id, Session: 1, Host: &pb.Host{Name: name, Zone: "zone-" + name, Undeclared: slices.Repeat([]string{strings.Repeat("x", 60)}, 60)},
		})
	}
	r.command(lead, "hosts", &pb.Command{Kind: &pb.Command_UpdateHosts{UpdateHosts: updates}})
	r.command(lead, "admit", &pb.Command{Kind: &pb.Command_AdmitRun{AdmitRun: &pb.AdmitRun{
		Run: "r", Experiment: &pb.Experiment{Version: 1, Name: "test", Guardrails: &pb.Guardrails{AllowRegionWide: true}},
		Plan: &pb.Plan{Experiment: "test", Steps: []*pb.PlannedStep{step}, LengthNanos: 600e9, DeadlineNanos: 700e9, LeaseNanos: 10e9},
	}}})
	for hosts := range slices.Chunk(step.GetSlots(), batch) {
		said := &pb.RecordSteps{}
		for _, h := range hosts {
			said.Steps = append(said.Steps, &pb.StepStatus{
				Run: "r", Step: step.GetId(), Host: h.GetHost(), State: pb.StepState_STEP_STATE_READY,
				Touches: slices.Repeat([]string{strings.Repeat("y", 500)}, 10),
			})
		}
		r.command(lead, "steps/"+hosts[0].GetHost(), &pb.Command{Kind: &pb.Command_RecordSteps{RecordSteps: said}})
	}
}

// calendars are schedules as large as they may be.
func (r *region) calendars(lead *unit) {
	r.t.Helper()
	for i := range 100 {
		name := fmt.Sprintf("c-%03d", i)
		r.command(lead, name, &pb.Command{Kind: &pb.Command_PutCalendar{PutCalendar: &pb.PutCalendar{Calendar: &pb.Calendar{
			Name: name, Timezone: "UTC", Days: slices.Repeat([]string{"2026-12-24..2026-12-26"}, schedule.MaxDays),
		}}}})
	}
	for i := range 200 {
		c := &pb.PutSchedule{
			Name: fmt.Sprintf("s-%03d", i), After: "2026-12-01T10:00",
			Experiment: &pb.Experiment{Version: 1, Name: "test", Schedule: &pb.Schedule{
				Every: "day at 10:00", Timezone: "UTC", Except: slices.Repeat([]string{"2026-12-24..2026-12-26"}, schedule.MaxExcept),
			}},
		}
		if i == 0 {
			c.Experiment.Title = strings.Repeat("t", 900<<10)
			c.Source = slices.Repeat([]byte("#"), 900<<10)
		}
		r.command(lead, c.GetName(), &pb.Command{Kind: &pb.Command_PutSchedule{PutSchedule: c}})
	}
}

// sinks are as many as may be, and none takes anything: their hosts don't answer.
func (r *region) sinks(lead *unit) {
	r.t.Helper()
	progress := &pb.RecordDelivered{}
	for i := range state.MaxSinks {
		name := fmt.Sprintf("sink-%02d", i)
		r.command(lead, name, &pb.Command{Kind: &pb.Command_PutSink{PutSink: &pb.PutSink{Sink: &pb.Sink{
			Name: name, Kind: pb.SinkKind_SINK_KIND_CLOUDEVENTS, UrlSecret: strings.Repeat("x", 60), Events: state.Events(), Url: strings.Repeat("u", 2000),
		}}}})
		progress.Sinks = append(progress.Sinks, &pb.SinkProgress{Sink: name, PutIndex: lead.State().Sink(name).GetPutIndex()})
	}
	for i := range 100 {
		r.command(lead, fmt.Sprint("missed ", i), &pb.Command{Kind: &pb.Command_PassSlot{PassSlot: &pb.PassSlot{
			Slot: &pb.SlotRef{Schedule: "s-001", Slot: fmt.Sprintf("2027-01-01T10:%03d", i)}, Outcome: pb.SlotOutcome_SLOT_OUTCOME_MISSED, Why: strings.Repeat("w", 4000),
		}}})
		for _, p := range progress.Sinks {
			p.Watermark = lead.State().NoticeSeq()
			p.GivenUp = append(p.GivenUp, &pb.GivenUp{Seq: p.Watermark, Why: strings.Repeat("y", 300)})
		}
	}
	r.command(lead, "given up", &pb.Command{Kind: &pb.Command_RecordDelivered{RecordDelivered: progress}})
}

func (r *region) command(lead *unit, id string, c *pb.Command) {
	r.t.Helper()
	c.Id = id
	if o, err := lead.Propose(within(r.t, enough), c); err != nil || o.GetRefused() != nil {
		r.t.Fatalf("%s: %v, %v", id, err, o.GetRefused())
	}
}

// readings has a call for each method that reads: a new one is a line here.
var readings = map[string]func(context.Context, pb.ControlServiceClient) error{
	"Plan": func(ctx context.Context, c pb.ControlServiceClient) error {
		source, err := catalog.Source("zone-loss")
		if err != nil {
			return err
		}
		_, err = parts.Ask[pb.Plan](ctx, c.Plan, &pb.PlanRequest{Source: source, File: "zone-loss.yaml"})
		return err
	},
	"Watch": func(ctx context.Context, c pb.ControlServiceClient) error {
		stream, err := c.Watch(ctx, &pb.WatchRequest{Run: "r"})
		for n := 0; err == nil && n < 1000; n++ {
			_, err = stream.Recv()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	},
	"Status": func(ctx context.Context, c pb.ControlServiceClient) error {
		st, err := parts.Ask[pb.Status](ctx, c.Status, &pb.StatusRequest{})
		return wants(err, "hosts", int(st.GetHostsKnown()), 1000)
	},
	"Live": func(ctx context.Context, c pb.ControlServiceClient) error {
		live, err := parts.Ask[pb.LiveRun](ctx, c.Live, &pb.LiveRequest{Run: "r"})
		return wants(err, "hosts", len(live.GetHosts()), 1000)
	},
	"Report": func(ctx context.Context, c pb.ControlServiceClient) error {
		report, err := parts.Ask[pb.RunReport](ctx, c.Report, &pb.ReportRequest{Run: "r"})
		if err != nil {
			return err
		}
		return wants(nil, "hosts", len(report.GetSteps()[0].GetHosts()), 1000)
	},
	"GetRun": func(ctx context.Context, c pb.ControlServiceClient) error {
		run, err := parts.Ask[pb.Run](ctx, c.GetRun, &pb.GetRunRequest{Run: "r"})
		return wants(err, "hosts", len(run.GetSteps()["p.dns.fail"].GetHosts()), 1000)
	},
	"GetHost": func(ctx context.Context, c pb.ControlServiceClient) error {
		_, err := c.GetHost(ctx, &pb.GetHostRequest{Host: "web-0001"})
		return err
	},
	"ListHosts": func(ctx context.Context, c pb.ControlServiceClient) error {
		n, token := 0, ""
		for first := true; first || token != ""; first = false {
			page, err := c.ListHosts(ctx, &pb.ListHostsRequest{PageSize: 1000, PageToken: token})
			if err != nil {
				return err
			}
			n, token = n+len(page.GetHosts()), page.GetNextPageToken()
		}
		return wants(nil, "hosts", n, 1000)
	},
	"ListZones": func(ctx context.Context, c pb.ControlServiceClient) error {
		zones, err := c.ListZones(ctx, &pb.ListZonesRequest{PageSize: 1000})
		return wants(err, "zones", len(zones.GetZones()), 1000)
	},
	"ListRuns": func(ctx context.Context, c pb.ControlServiceClient) error {
		runs, err := c.ListRuns(ctx, &pb.ListRunsRequest{})
		return wants(err, "runs", len(runs.GetRuns()), 1)
	},
	"History": func(ctx context.Context, c pb.ControlServiceClient) error {
		h, err := c.History(ctx, &pb.HistoryRequest{Experiment: "test"})
		return wants(err, "runs", len(h.GetRuns()), 1)
	},
	"ListDue": func(ctx context.Context, c pb.ControlServiceClient) error {
		due, err := c.ListDue(ctx, &pb.ListDueRequest{})
		return wants(err, "experiments", len(due.GetExperiments()), 1)
	},
	"Windows": func(ctx context.Context, c pb.ControlServiceClient) error {
		stream, err := c.Windows(ctx, &pb.WindowsRequest{Run: "r"})
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	},
	"ListSchedules": func(ctx context.Context, c pb.ControlServiceClient) error {
		n, token := 0, ""
		for first := true; first || token != ""; first = false {
			page, err := c.ListSchedules(ctx, &pb.ListSchedulesRequest{PageSize: 1000, PageToken: token})
			if err != nil {
				return err
			}
			n, token = n+len(page.GetSchedules()), page.GetNextPageToken()
		}
		return wants(nil, "schedules", n, 200)
	},
	"GetSchedule": func(ctx context.Context, c pb.ControlServiceClient) error {
		s, err := parts.Ask[pb.Scheduled](ctx, c.GetSchedule, &pb.GetScheduleRequest{Name: "s-000"})
		return wants(err, "bytes of its file", len(s.GetSource()), 900<<10)
	},
	"ListArchived": func(ctx context.Context, c pb.ControlServiceClient) error {
		_, err := c.ListArchived(ctx, &pb.ListArchivedRequest{})
		return err
	},
	"VerifyArchive": func(ctx context.Context, c pb.ControlServiceClient) error {
		check, err := parts.Ask[pb.ArchiveCheck](ctx, c.VerifyArchive, &pb.VerifyArchiveRequest{})
		return wants(err, "servers", len(check.GetServers()), 3)
	},
	"ExportArchived": func(ctx context.Context, c pb.ControlServiceClient) error {
		stream, err := c.ExportArchived(ctx, &pb.ExportArchivedRequest{Run: "none"})
		if err == nil {
			_, err = stream.Recv()
		}
		if problemOf(err).GetRefusal() != pb.Refusal_REFUSAL_UNKNOWN {
			return fmt.Errorf("a run that is not archived is exported with %w", err)
		}
		return nil
	},
	"ListAuditRecords": func(ctx context.Context, c pb.ControlServiceClient) error {
		_, err := c.ListAuditRecords(ctx, &pb.ListAuditRecordsRequest{})
		return err
	},
	"ListExperiments": func(ctx context.Context, c pb.ControlServiceClient) error {
		kept, err := c.ListExperiments(ctx, &pb.ListExperimentsRequest{})
		return wants(err, "bytes of the file", int(kept.GetExperiments()[0].GetVersions()[0].GetSize()), 900<<10)
	},
	"GetExperiment": func(ctx context.Context, c pb.ControlServiceClient) error {
		v, err := parts.Ask[pb.ExperimentVersion](ctx, c.GetExperiment, &pb.GetExperimentRequest{Name: "test"})
		return wants(err, "bytes of the file", len(v.GetSource()), 900<<10)
	},
	"ListCalendars": func(ctx context.Context, c pb.ControlServiceClient) error {
		n, token := 0, ""
		for first := true; first || token != ""; first = false {
			page, err := c.ListCalendars(ctx, &pb.ListCalendarsRequest{PageSize: 1000, PageToken: token})
			if err != nil {
				return err
			}
			n, token = n+len(page.GetCalendars()), page.GetNextPageToken()
		}
		return wants(nil, "calendars", n, 100)
	},
	"GetCalendar": func(ctx context.Context, c pb.ControlServiceClient) error {
		k, err := c.GetCalendar(ctx, &pb.GetCalendarRequest{Name: "c-000"})
		return wants(err, "days", len(k.GetCalendar().GetDays()), schedule.MaxDays)
	},
	"ListGuards": func(ctx context.Context, c pb.ControlServiceClient) error {
		_, err := c.ListGuards(ctx, &pb.ListGuardsRequest{PageSize: 1000})
		return err
	},
	"ListGuardExceptions": func(ctx context.Context, c pb.ControlServiceClient) error {
		_, err := c.ListGuardExceptions(ctx, &pb.ListGuardExceptionsRequest{PageSize: 1000})
		return err
	},
	"ExplainGuards": func(ctx context.Context, c pb.ControlServiceClient) error {
		// The run may be under way still, and breaks it.
		_, err := c.SetGuard(ctx, &pb.SetGuardRequest{EndRuns: true, Guard: &pb.Guard{Name: "one-zone", Rule: &pb.Guard_MaxZones{MaxZones: 100}}})
		if err != nil {
			return err
		}
		said, err := c.ExplainGuards(ctx, &pb.ExplainGuardsRequest{Run: "r"})
		return wants(err, "opinions", len(said.GetOpinions()), 1)
	},
	"ListSinks": func(ctx context.Context, c pb.ControlServiceClient) error {
		sinks, err := c.ListSinks(ctx, &pb.ListSinksRequest{PageSize: 1000})
		return wants(err, "sinks", len(sinks.GetSinks()), state.MaxSinks)
	},
	"ListDeadNotices": func(ctx context.Context, c pb.ControlServiceClient) error {
		n, token := 0, ""
		for first := true; first || token != ""; first = false {
			page, err := c.ListDeadNotices(ctx, &pb.ListDeadNoticesRequest{PageSize: 1000, PageToken: token})
			if err != nil {
				return err
			}
			n, token = n+len(page.GetDead()), page.GetNextPageToken()
		}
		return wants(nil, "dead notices", n, state.MaxSinks*100)
	},
	"NextSlots": func(ctx context.Context, c pb.ControlServiceClient) error {
		next, err := c.NextSlots(ctx, &pb.NextSlotsRequest{Name: "s-000", Count: 1000})
		return wants(err, "slots", len(next.GetSlots()), 1000)
	},
}

func wants(err error, what string, got, want int) error {
	if err == nil && got != want {
		err = fmt.Errorf("%d %s, want %d", got, what, want)
	}
	return err
}

// TestNoAnswerIsLargeInALargeRegion asks everything that can be asked, as a
// client with gRPC's own limits.
func TestNoAnswerIsLargeInALargeRegion(t *testing.T) {
	r := newRegion(t)
	lead := r.leader()
	r.crowd(lead)
	r.calendars(lead)
	r.sinks(lead)
	for _, m := range append(pb.ControlService_ServiceDesc.Methods, methodsOf(pb.ControlService_ServiceDesc.Streams)...) {
		rule, _ := access.Of("/" + pb.ControlService_ServiceDesc.ServiceName + "/" + m.MethodName)
		if rule.Object != access.Reading {
			continue
		}
		t.Run(m.MethodName, func(t *testing.T) {
			read := readings[m.MethodName]
			if read == nil {
				t.Fatal("nobody has measured its answer")
			}
			s := &scale{}
			conn, err := grpc.NewClient(lead.cfg.Bundle.Servers[r.index(lead)].Address, grpc.WithStatsHandler(s),
				grpc.WithTransportCredentials(credentials.NewTLS(r.bundle(pb.Role_ROLE_USER, "kim").ClientTLS())))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := read(within(t, enough), pb.NewControlServiceClient(conn)); err != nil {
				t.Error(err)
			}
			if s.most.Load() > mostAnswer {
				t.Errorf("a message of %d bytes", s.most.Load())
			}
			t.Logf("%d bytes, the largest message %d", s.all.Load(), s.most.Load())
		})
	}
}

func methodsOf(streams []grpc.StreamDesc) (all []grpc.MethodDesc) {
	for _, s := range streams {
		all = append(all, grpc.MethodDesc{MethodName: s.StreamName})
	}
	return all
}

// TestWrongPageTokenIsRefusedWithItsName and what to do.
func TestWrongPageTokenIsRefusedWithItsName(t *testing.T) {
	r := newRegion(t)
	user := r.user(r.leader())
	_, err := user.ListHosts(within(t, enough), &pb.ListHostsRequest{PageToken: "nonsense"})
	if p := problem(err); p.GetRefusal() != pb.Refusal_REFUSAL_INVALID || !strings.Contains(p.GetMessage(), `page_token "nonsense"`) || p.GetFix() == "" {
		t.Errorf("refused with %v", err)
	}
	if _, err := user.ListRuns(within(t, enough), &pb.ListRunsRequest{PageSize: -1}); problem(err).GetRefusal() != pb.Refusal_REFUSAL_INVALID {
		t.Errorf("a negative size: %v", err)
	}
}
