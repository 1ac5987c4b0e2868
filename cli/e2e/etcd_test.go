package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// Not beside the other one: six members would sync to one disk, and lose their
// leaders over it.
func TestEtcdWritesOnWithoutAZone(t *testing.T) {
	hosttest.RequireProgram(t, "etcd", "etcd-server")
	play(t, "zone-loss-etcd").check(t, 0, "writes go on", "the member catches up")
}

// writerRegion is a lab of a store and its writer that is up, and the scenario
// that plays in it, as text.
type writerRegion struct {
	*region
	scenario string
}

// etcdRegion is the one of etcd. Its clients' addresses are those of the lab file.
type etcdRegion struct{ writerRegion }

const (
	etcdA     = "http://10.77.1.11:2379"
	etcdB     = "http://10.77.2.11:2379"
	etcdC     = "http://10.77.3.11:2379"
	theWriter = "http://10.77.4.11:9000"
	asksFrom  = "writer-1"
)

func newEtcdRegion(t *testing.T) *etcdRegion {
	t.Helper()
	hosttest.RequireProgram(t, "etcd", "etcd-server")
	return &etcdRegion{newWriterRegion(t, "etcd")}
}

// newWriterRegion brings a built-in lab up that has a writer.
func newWriterRegion(t *testing.T, lab string) writerRegion {
	t.Helper()
	hosttest.RequireRoot(t)
	d := newDesk(t)
	t.Cleanup(func() { d.must(t, 0, nil, "lab", "down", lab) })
	d.must(t, 0, []string{"is up"}, "lab", "up", lab)
	scenario := d.must(t, 0, nil, "catalog", "show", "zone-loss-"+lab).stdout
	return writerRegion{&region{desk: d, folder: filepath.Join(d.dir, "squall-lab-"+lab)}, scenario}
}

// TestTheReportAgreesWithEtcd runs zone-loss-etcd against the leader's zone with
// one probe more, whose every attempt asks for one key in a book. The book is
// closed before the last windows, so that the report and etcd count the same
// requests; then what the report says is held against what etcd says.
func TestTheReportAgreesWithEtcd(t *testing.T) {
	long(t)
	t.Parallel()
	e := newEtcdRegion(t)
	var before etcdState
	book := 0
	out := untilInTime(t, func() (result, string) {
		book++
		e.lead(t, etcdA)
		before = e.state(t)
		return e.runBooked(t, fmt.Sprint("book", book))
	})
	report, _ := e.report(t, runOf(out))
	numbers := e.rest(t)
	after, keys := e.state(t), e.keys(t)
	agreeOnWrites(t, report, numbers.Books[fmt.Sprint("book", book)], keys.under(fmt.Sprintf("book%d/", book)))
	agreeOnRevisions(t, after, keys)
	agreeOnInstants(t, report, before, after, keys)
}

// agreeOnWrites: an attempt that the report calls a success is a key, and a key
// that is not one was asked for by an attempt whose outcome nobody knew.
func agreeOnWrites(t *testing.T, report *pb.RunReport, book etcdBook, keys etcdKeys) {
	t.Helper()
	i := slices.IndexFunc(report.GetProbes(), func(p *pb.ProbeReport) bool { return p.GetName() == "booked" })
	if i < 0 {
		t.Fatalf("the report has no probe booked: %v", report.GetProbes())
	}
	successes := int(math.Round(report.GetProbes()[i].GetSuccess() * float64(report.GetProbes()[i].GetCount())))
	t.Logf("the report has %d successes, etcd %d keys; the writer was asked for %d, and does not know of %d",
		successes, len(keys), book.Asked, book.Unknown)
	if successes < 200 {
		t.Errorf("only %d writes: they show little", successes)
	}
	if len(keys) < successes || len(keys) > successes+book.Unknown {
		t.Errorf("etcd has %d keys; the report has %d successes, and %d attempts are unknown", len(keys), successes, book.Unknown)
	}
}

// agreeOnRevisions: the three members hold the same, the one that was gone too,
// and nothing but what was asked for.
func agreeOnRevisions(t *testing.T, after etcdState, keys etcdKeys) {
	t.Helper()
	puts := 0
	for _, k := range keys {
		puts += k.Version
	}
	for name, m := range after {
		if m.revision != puts+1 || m.hash != after[etcdA].hash || m.applied != after[etcdA].applied {
			t.Errorf("%s has revision %d, hash %x, applied %d; the keys have %d versions, %s has hash %x, applied %d",
				name, m.revision, m.hash, m.applied, puts, etcdA, after[etcdA].hash, after[etcdA].applied)
		}
	}
	for _, name := range []string{etcdB, etcdC} { // a's counter began anew
		if got := int(after[name].metrics["etcd_mvcc_put_total"]); got != puts {
			t.Errorf("%s counts %d puts, its keys have %d versions", name, got, puts)
		}
	}
}

// agreeOnInstants: in the time that the report calls dark, etcd took nothing
// through the member, had another leader, and started the member at its end.
func agreeOnInstants(t *testing.T, report *pb.RunReport, before, after etcdState, keys etcdKeys) {
	t.Helper()
	held, reverted := darkness(report, "etcd-a1")
	through := keys.through(etcdA)
	first, last := time.Time{}, time.Time{} // after and before the dark
	for _, at := range through {
		switch {
		case at.After(held.Add(slack)) && at.Before(reverted.Add(-slack)):
			t.Errorf("etcd took a write through the dark member, asked for %v after it was held", at.Sub(held))
		case at.Before(held.Add(slack)) && at.After(last):
			last = at
		case !at.Before(reverted.Add(-slack)) && (first.IsZero() || at.Before(first)):
			first = at
		}
	}
	t.Logf("through the member: last write asked for %v before it was held, first %v after it was reverted", held.Sub(last), first.Sub(reverted))
	if last.IsZero() || first.IsZero() {
		t.Errorf("no write went through the member before (%v) or after (%v) the dark", last, first)
	}
	started := func(s etcdState) time.Time {
		return time.UnixMilli(int64(s[etcdA].metrics["process_start_time_seconds"] * 1000))
	}
	if off := started(after).Sub(reverted); started(before).After(held) || off.Abs() > coarse {
		t.Errorf("by its own word the member started %v after the report's revert, and before that %v before it was held", off, held.Sub(started(before)))
	}
	for _, name := range []string{etcdB, etcdC} {
		const changes = "etcd_server_leader_changes_seen_total"
		if after[name].metrics[changes] <= before[name].metrics[changes] {
			t.Errorf("%s saw no other leader, although the leader was dark", name)
		}
	}
}

const (
	// slack is for what was on its way, and for the offset of cluster time.
	slack = 500 * time.Millisecond
	// coarse is how well a process knows its own start: by the machine's boot
	// time, in whole seconds.
	coarse = 3 * time.Second
)

// darkness is from when to when a host held, as in its journal.
func darkness(report *pb.RunReport, host string) (held, reverted time.Time) {
	for _, h := range report.GetSteps()[0].GetHosts() {
		for _, m := range h.GetJournal() {
			switch at := time.Unix(0, m.GetActualUnixNanos()); {
			case h.GetHost() == host && m.GetState() == pb.StepState_STEP_STATE_HELD:
				held = at
			case h.GetHost() == host && m.GetState() == pb.StepState_STEP_STATE_REVERTED:
				reverted = at
			}
		}
	}
	return held, reverted
}

// runBooked plays the scenario with the probe that writes into a book, which is
// open from before the first attempt until well before the run's end.
func (e *writerRegion) runBooked(t *testing.T, book string, words ...string) (result, string) {
	t.Helper()
	e.fetch(t, "PUT", theWriter+"/books/"+book)
	probe := "probes:\n  booked: { every: 100ms, timeout: 10s, from: writers, http: { url: \"" +
		theWriter + "/write?book=" + book + "\", method: POST } }"
	running := e.start(t, append([]string{"run", e.write(t, book+".yaml", strings.Replace(e.scenario, "probes:", probe, 1))}, words...)...)
	light := e.awaitLight(t)
	time.Sleep(time.Until(light.Add(8 * time.Second)))
	e.fetch(t, "DELETE", theWriter+"/books/"+book)
	closed := time.Now()
	out := running.end(t)
	switch {
	case out.code != 0:
		return out, "the verdict is not pass"
	case closed.Sub(light) > 15*time.Second:
		return out, "the book was closed too late to be in the report"
	}
	return out, ""
}

// awaitLight waits until the run under way is in the phase light.
func (e *writerRegion) awaitLight(t *testing.T) (began time.Time) {
	t.Helper()
	within(t, 2*time.Minute, "power is back", func() bool {
		for _, r := range e.status(t).GetRuns() {
			if r.GetState() == pb.RunState_RUN_STATE_DONE {
				continue
			}
			report, _ := e.report(t, r.GetId())
			if p := report.GetPhases(); len(p) == 2 && p[1].GetStartUnixNanos() != 0 {
				began = time.Unix(0, p[1].GetStartUnixNanos())
				return true
			}
		}
		time.Sleep(time.Second)
		return false
	})
	return began
}

// etcdBook is what the writer says of a book.
type etcdBook struct{ Asked, Acknowledged, Unknown int }

type writerNumbers struct{ Books map[string]etcdBook }

// rest stops the writer, and returns its last numbers when the members have
// nothing left to do.
func (e *etcdRegion) rest(t *testing.T) (n writerNumbers) {
	t.Helper()
	mustUnmarshal(t, e.fetch(t, "GET", theWriter+"/"), &n)
	group := filepath.Base(cgroupsOf(t, e.dir)[0])
	for _, p := range processes(t) {
		if p.plays("shop") && slices.Contains(p.args, "etcd-writer") && strings.Contains(p.cgroup, group) {
			pause(t, p.pid)
		}
	}
	var last int
	within(t, time.Minute, "etcd is at rest", func() bool {
		s := e.state(t)
		quiet := s[etcdA].revision == last && s[etcdB].revision == last && s[etcdC].revision == last
		last = s[etcdB].revision
		return quiet
	})
	return n
}

// etcdState is what members say of themselves, by their addresses.
type etcdState map[string]etcdMember

type etcdMember struct {
	id, leader        uint64
	revision, applied int
	hash              uint32
	metrics           map[string]float64
}

// state asks all members.
func (e *etcdRegion) state(t *testing.T) etcdState {
	t.Helper()
	type header struct {
		Revision int
		Member   uint64 `json:"member_id"`
	}
	var statuses []struct {
		Endpoint string
		Status   struct {
			Header  header
			Leader  uint64
			Applied int `json:"raftAppliedIndex"`
		}
	}
	var hashes []struct {
		Endpoint string
		HashKV   struct{ Hash uint32 }
	}
	mustUnmarshal(t, e.etcdctl(t, "endpoint", "status"), &statuses)
	mustUnmarshal(t, e.etcdctl(t, "endpoint", "hashkv"), &hashes)
	out := etcdState{}
	for i, s := range statuses {
		out[s.Endpoint] = etcdMember{
			id: s.Status.Header.Member, leader: s.Status.Leader, revision: s.Status.Header.Revision, applied: s.Status.Applied,
			hash: hashes[i].HashKV.Hash, metrics: metrics(e.fetch(t, "GET", s.Endpoint+"/metrics")),
		}
	}
	if len(out) != 3 {
		t.Fatalf("%d members answer: %v", len(out), statuses)
	}
	return out
}

// lead makes a member the leader.
func (e *etcdRegion) lead(t *testing.T, endpoint string) {
	t.Helper()
	within(t, time.Minute, endpoint+" leads", func() bool {
		s := e.state(t)
		for name, m := range s {
			switch {
			case m.id == m.leader && name == endpoint:
				return true
			case m.id == m.leader:
				e.on(t, asksFrom, "/usr/bin/etcdctl", "--endpoints", name, "move-leader", strconv.FormatUint(s[endpoint].id, 16))
			}
		}
		return false
	})
}

func (e *etcdRegion) etcdctl(t *testing.T, words ...string) string {
	t.Helper()
	all := []string{"/usr/bin/etcdctl", "--endpoints", etcdA + "," + etcdB + "," + etcdC, "-w", "json"}
	out := e.on(t, asksFrom, append(all, words...)...)
	out.check(t, 0)
	return out.stdout
}

func (e *writerRegion) fetch(t *testing.T, method, url string) string {
	t.Helper()
	out := e.on(t, asksFrom, selfArgs("fetch", method, url)...)
	out.check(t, answered)
	return out.stdout
}

// metrics are those without labels.
func metrics(text string) map[string]float64 {
	out := map[string]float64{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			if v, err := strconv.ParseFloat(value, 64); err == nil {
				out[name] = v
			}
		}
	}
	return out
}

// etcdKeys are all keys, as etcd has them.
type etcdKeys []etcdKey

type etcdKey struct {
	Key, Value []byte
	Version    int
}

func (e *etcdRegion) keys(t *testing.T) etcdKeys {
	t.Helper()
	var all struct{ Kvs etcdKeys }
	mustUnmarshal(t, e.etcdctl(t, "get", "", "--prefix"), &all)
	return all.Kvs
}

func (keys etcdKeys) under(prefix string) etcdKeys {
	return slices.DeleteFunc(slices.Clone(keys), func(k etcdKey) bool { return !strings.HasPrefix(string(k.Key), prefix) })
}

// through are the instants at which writes were asked for through a member.
func (keys etcdKeys) through(member string) (asked []time.Time) {
	for _, k := range keys {
		address, at, _ := strings.Cut(string(k.Value), " ")
		if nanos, err := strconv.ParseInt(at, 10, 64); err == nil && "http://"+address == member {
			asked = append(asked, time.Unix(0, nanos))
		}
	}
	return asked
}

func mustUnmarshal(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %.400s", err, text)
	}
}
