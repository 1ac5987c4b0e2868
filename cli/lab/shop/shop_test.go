package shop

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/miekg/dns"
)

func TestAnOrderThatIsSentAgainCountsOnce(t *testing.T) {
	l := newLedger()
	for _, id := range []string{"a", "b", "a"} {
		l.Apply(&raft.Log{Data: []byte(id)})
	}
	if got := l.orders(); got != 2 {
		t.Errorf("%d orders, want 2", got)
	}
	for i := range remembered + 10 {
		l.Apply(&raft.Log{Data: []byte(fmt.Sprint(i))})
	}
	if len(l.ids) != remembered || len(l.known) != remembered {
		t.Errorf("it remembers %d and %d ids, want %d", len(l.ids), len(l.known), remembered)
	}
}

// sink is a snapshot in memory.
type sink struct{ bytes.Buffer }

func (*sink) Close() error  { return nil }
func (*sink) Cancel() error { return nil }
func (*sink) ID() string    { return "s" }

func TestASnapshotIsTheWholeLedger(t *testing.T) {
	l, again := newLedger(), newLedger()
	for _, id := range []string{"a", "b"} {
		l.Apply(&raft.Log{Data: []byte(id)})
	}
	snapshot, err := l.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	l.Apply(&raft.Log{Data: []byte("after")})
	var s sink
	if err := snapshot.Persist(&s); err != nil {
		t.Fatal(err)
	}
	if err := again.Restore(io.NopCloser(&s)); err != nil {
		t.Fatal(err)
	}
	again.Apply(&raft.Log{Data: []byte("b")})
	if got := again.orders(); got != 2 {
		t.Errorf("%d orders, want 2", got)
	}
}

func TestAResolverNamesItsOwnZoneFirstAndNobodyWhoIsDown(t *testing.T) {
	set, err := ParseSet("shop.test:8080=10.77.1.11,10.77.2.11,10.77.3.11")
	if err != nil {
		t.Fatal(err)
	}
	r := &resolver{ip: netip.MustParseAddr("10.77.2.12"), sets: []Set{set}, misses: map[netip.AddrPort]int{}}
	ask := func() (answer string) {
		m := &dns.Msg{}
		r.answer(m, dns.Question{Name: "SHOP.test.", Qtype: dns.TypeA})
		for _, rr := range m.Answer {
			answer += rr.(*dns.A).A.String() + " "
		}
		return answer
	}
	if got, want := ask(), "10.77.2.11 10.77.1.11 10.77.3.11 "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	r.misses[netip.MustParseAddrPort("10.77.1.11:8080")] = checkMisses
	if got, want := ask(), "10.77.2.11 10.77.3.11 "; got != want {
		t.Errorf("with one down: %s, want %s", got, want)
	}
	for _, a := range set.Addresses {
		r.misses[netip.AddrPortFrom(a, 8080)] = checkMisses
	}
	if got, want := ask(), "10.77.1.11 10.77.2.11 10.77.3.11 "; got != want {
		t.Errorf("with all down: %s, want all of them: %s", got, want)
	}
}

func TestSetsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, text := range []string{"", "shop.test=10.0.0.1", "shop.test:x=10.0.0.1", "shop.test:80=nowhere", "shop.test:80"} {
		if s, err := ParseSet(text); err == nil {
			t.Errorf("%q became %v", text, s)
		}
	}
}

func TestHealthIsOfTheLastSeconds(t *testing.T) {
	var y tally
	now := time.Unix(1000, 0)
	if y.healthy(now) {
		t.Error("nothing was tried, and all is well")
	}
	y.add(now, time.Second, false)
	if y.healthy(now) {
		t.Error("one of one failed, and all is well")
	}
	for i := range recentSeconds {
		y.add(now.Add(time.Duration(i+1)*time.Second), time.Millisecond, true)
	}
	if !y.healthy(now.Add(recentSeconds * time.Second)) {
		t.Error("an old failure still counts")
	}
	n := y.numbers(now.Add(recentSeconds * time.Second))
	if n.Acknowledged != recentSeconds || n.Errors != 1 || n.LongestGapMillis != 1000 || n.SlowestMillis != 1000 {
		t.Errorf("%+v", n)
	}
}
