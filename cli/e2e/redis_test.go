package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// redisRegion is a lab of Redis under Sentinel that is up.
type redisRegion struct{ writerRegion }

func newRedisRegion(t *testing.T) *redisRegion {
	t.Helper()
	hosttest.RequireRoot(t)
	hosttest.RequireProgram(t, "redis-server", "redis-server")
	hosttest.RequireProgram(t, "redis-sentinel", "redis-sentinel")
	d := newDesk(t)
	lab := d.write(t, "redis.yaml", strings.Replace(testFile(t, "redis.yaml"), "SELF", self, 1))
	t.Cleanup(func() { d.must(t, 0, nil, "lab", "down", "redis") })
	d.must(t, 0, []string{"is up"}, "lab", "up", lab)
	folder := filepath.Join(d.dir, "squall-lab-redis")
	return &redisRegion{writerRegion{&region{desk: d, folder: folder}, testFile(t, "zone-loss-redis.yaml")}}
}

func testFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTheReportAgreesWithRedis takes the power from the zone of Redis' primary,
// and holds the report against the writer's own log, Redis' keys, and the logs of
// Redis and Sentinel.
func TestTheReportAgreesWithRedis(t *testing.T) {
	long(t)
	r := newRedisRegion(t)
	var old string
	book := 0
	out := untilInTime(t, func() (result, string) {
		book++
		old = r.primary(t)
		dark, lit := around(strings.TrimSuffix(strings.Replace(old, "redis-", "server-", 1), "1"))
		return r.runBooked(t, fmt.Sprint("book", book), "--aim", "dark="+dark, "--aim", "lit="+lit)
	})
	report, _ := r.report(t, runOf(out))
	log := r.writerLog(t, fmt.Sprintf("book%d/", book))
	now := r.primary(t) // the old one follows by now
	agreeOnRows(t, report, log, r.keys(t, now, fmt.Sprintf("book%d/", book)))
	wrote := agreeOnTheGap(t, report, log)
	r.agreeOnThePrimary(t, report, old, now, wrote)
}

// agreeOnThePrimary: the new primary was made one while the old one was held
// dark and before the writer's first good write was acknowledged, and the old one
// started when the report says that it was reverted. The new primary's own log is
// the witness: a Sentinel prints its switch up to seconds later.
func (r *redisRegion) agreeOnThePrimary(t *testing.T, report *pb.RunReport, old, now string, wrote time.Time) {
	t.Helper()
	held, reverted := darkness(report, old)
	led := r.lastSaid(t, now, "redis", "MASTER MODE enabled")
	began := r.lastSaid(t, old, "redis", "Ready to accept connections")
	t.Logf("%s leads %v after %s was held; the writer's first good write was asked for %v after that; %s is ready %v after it was reverted",
		now, led.Sub(held), old, wrote.Sub(led), old, began.Sub(reverted))
	if now == old || led.Before(held) || led.After(wrote.Add(redisPatience+slack)) {
		t.Errorf("%s leads since %v; %s was dark from %v to %v, and the first good write is of %v", now, led, old, held, reverted, wrote)
	}
	if off := began.Sub(reverted); off < -slack || off > coarse {
		t.Errorf("%s is ready at %v, and was reverted at %v", old, began, reverted)
	}
}

// said is the instant in a line of Redis' log.
var said = regexp.MustCompile(`^\d+:\w (\d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3}) `)

// lastSaid is when a workload last printed a line with a text.
func (r *redisRegion) lastSaid(t *testing.T, host, workload, text string) (at time.Time) {
	t.Helper()
	out := r.must(t, 0, nil, "lab", "logs", host, workload)
	for line := range strings.Lines(out.stdout) {
		if m := said.FindStringSubmatch(line); m != nil && strings.Contains(line, text) {
			var err error
			if at, err = time.Parse("02 Jan 2006 15:04:05.000", m[1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if at.IsZero() {
		t.Fatalf("%s of %s never said %q: %v", workload, host, text, out)
	}
	return at
}

// primary waits until all Sentinels know each other and one primary that two
// follow, and names it. A Sentinel that knows no replica can make none primary,
// and learns of them at its next INFO, up to ten seconds later.
func (r *redisRegion) primary(t *testing.T) (name string) {
	t.Helper()
	within(t, time.Minute, "Redis is whole", func() bool {
		named := map[string]bool{}
		for _, zone := range []string{"a", "b", "c"} {
			says := r.ask(t, "sentinel-"+zone+"1", "26379", "SENTINEL", "ckquorum", "shop")
			address, _, _ := strings.Cut(r.ask(t, "sentinel-"+zone+"1", "26379", "SENTINEL", "get-master-addr-by-name", "shop"), "\n")
			knows := strings.Fields(r.ask(t, "sentinel-"+zone+"1", "26379", "SENTINEL", "master", "shop"))
			replicas := slices.Index(knows, "num-slaves") + 1
			if !strings.HasPrefix(says, "OK 3 usable") || replicas == 0 || knows[replicas] != "2" {
				return false
			}
			named[address] = true
			var number string
			if _, err := fmt.Sscanf(address, "10.77.%1s.11", &number); err == nil {
				name = map[string]string{"1": "redis-a1", "2": "redis-b1", "3": "redis-c1"}[number]
			}
		}
		if len(named) != 1 || name == "" {
			return false
		}
		says := r.ask(t, name, "6379", "INFO", "replication")
		return strings.Contains(says, "role:master") && strings.Count(says, "state=online") == 2
	})
	return name
}

// keys are those that Redis has under a prefix, by its own tool.
func (r *redisRegion) keys(t *testing.T, host, prefix string) map[string]bool {
	t.Helper()
	keys := map[string]bool{}
	for key := range strings.Lines(r.ask(t, host, "6379", "KEYS", prefix+"*")) {
		keys[strings.TrimSpace(key)] = true
	}
	return keys
}

func (r *redisRegion) ask(t *testing.T, host, port string, words ...string) string {
	t.Helper()
	out := r.on(t, asksFrom, append([]string{"/usr/bin/redis-cli", "-h", host, "-p", port}, words...)...)
	return out.stdout
}
