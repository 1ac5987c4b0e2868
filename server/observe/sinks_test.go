package observe_test

import (
	"testing"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

func TestSinksAreToldByName(t *testing.T) {
	b := newBook(t)
	b.apply(putSink("ops"), putSink("lacking"))
	b.host("a1", "zone-a", "a")
	for _, run := range []string{"r1", "r2", "r3"} {
		b.run(run, "dark", "a1")
		b.finish(run, pb.Verdict_VERDICT_PASS)
	}
	b.sight.Lacks = map[string]string{"lacking": "a secret"}
	v := b.m.View()
	first := v.Notices("ops", 0)[0].GetSeq()
	b.apply(&pb.Command{Kind: &pb.Command_RecordDelivered{RecordDelivered: &pb.RecordDelivered{Sinks: []*pb.SinkProgress{{
		Sink: "ops", PutIndex: v.Sink("ops").GetPutIndex(), Watermark: first + 1, Delivered: 1, Failed: 4, GivenUp: []*pb.GivenUp{{Seq: first + 1}},
	}}}}})
	b.holds(map[string]float64{
		`squall_notify_delivered_total{sink="ops"}`: 1, `squall_notify_failed_attempts_total{sink="ops"}`: 4, `squall_notify_dead_total{sink="ops"}`: 1,
		`squall_notify_dead_notices{sink="ops"}`: 1, `squall_notify_waiting{sink="ops"}`: 1, `squall_notify_waiting{sink="lacking"}`: 3,
		`squall_notify_lost_total{sink="ops"}`: 0, `squall_notify_sink_ready{sink="ops"}`: 1, `squall_notify_sink_ready{sink="lacking"}`: 0,
	})
	if n := len(b.m.View().Sinks()); n > state.MaxSinks {
		t.Errorf("%d sinks", n)
	}
}
