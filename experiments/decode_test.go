package experiments

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

var update = flag.Bool("update", false, "write golden files")

func TestExamplesDecodeWithoutProblems(t *testing.T) {
	for _, file := range glob(t, "testdata/examples/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			e, _, problems := Decode(file, read(t, file))
			if problems != nil {
				t.Fatal(problems)
			}
			if len(e.GetTimeline()) == 0 {
				t.Error("decoded no timeline")
			}
		})
	}
}

// TestMistakes holds every mistake in testdata/mistakes against its complete
// message. The file's name says what is wrong; its prefix says what it is.
func TestMistakes(t *testing.T) {
	files := glob(t, "testdata/mistakes/*.yaml")
	if len(files) < 40 {
		t.Errorf("only %d mistakes are under test", len(files))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			kind, _, _ := strings.Cut(name, "-")
			problems := Validate(kind, filepath.Base(file), read(t, file))
			if len(problems) == 0 {
				t.Fatal("no problem was found")
			}
			for _, p := range problems {
				if p.GetFix() == "" || p.GetMessage() == "" || p.GetPath() == "" {
					t.Errorf("problem lacks message, fix or path: %v", p)
				}
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".want", problems.Error()+"\n")
		})
	}
}

func TestSourcePointsIntoTheFile(t *testing.T) {
	const file = "testdata/examples/derecho-2012.yaml"
	_, src, _ := Decode(file, read(t, file))
	for path, want := range map[string]string{
		"timeline[1].faults[0].until":                 "23:15",
		"timeline[1].faults[0].power.off.back.spread": "45m",
		"targets.machines.zone":                       "dark",
		"zones.lit":                                   "[zone-b, zone-c]",
		"guardrails.keep":                             "{ role: db, count: 2 }",
		"expect[2].within":                            "60s",
	} {
		p := src.Problem(path, "wrong", "right it")
		line := strings.Split(string(read(t, file)), "\n")[p.GetLine()-1]
		if got := strings.TrimPrefix(line[p.GetColumn()-1:], `"`); !strings.HasPrefix(got, want) {
			t.Errorf("%s points at %.20q, want %q", path, got, want)
		}
	}
	if p := src.Problem("timeline[1].faults[0].flap.duty", "m", "f"); p.GetLine() == 0 || p.GetPath() != "experiment.timeline.faults" {
		t.Errorf("a field that is left out has line %d and path %q", p.GetLine(), p.GetPath())
	}
	if p := (Source{}).Problem("timeline[0].at", "m", "f"); p.GetLine() != 0 || p.GetPath() != "timeline[0].at" {
		t.Errorf("the zero Source knows a place: %v", p)
	}
}

func TestInlineFaultTakesKeysOfStepAndFault(t *testing.T) {
	e, _, problems := Decode("x.yaml", []byte(`
version: 1
name: x
targets: { all: { zone: zone-a } }
timeline:
  phase: only
  faults: [power.off: { target: all, for: 10s, mode: reset, back: none, lost_contact: hold }]
`))
	if problems != nil {
		t.Fatal(problems)
	}
	s := e.GetTimeline()[0].GetFaults()[0]
	p := s.GetFault().GetPowerOff()
	if s.GetTarget() != "all" || s.GetFor().GetNanos() != 10e9 || s.GetLostContact() != pb.LostContact_LOST_CONTACT_HOLD {
		t.Errorf("step is %v", s)
	}
	if p.GetMode() != pb.PowerMode_POWER_MODE_RESET || p.GetBack().GetStart() != pb.BackStart_BACK_START_NONE {
		t.Errorf("fault is %v", p)
	}
}

func TestFleetMaySayWhatIsMeasured(t *testing.T) {
	src := []byte("version: 1\nhosts: { name: web-a1, zone: zone-a, presence: lost }\n")
	f, problems := DecodeFleet("fleet.yaml", src)
	if problems != nil {
		t.Fatal(problems)
	}
	h := f.GetHosts()[0]
	if h.GetPresence() != pb.Presence_PRESENCE_LOST || h.GetEnvironment() != "default" {
		t.Errorf("host is %v", h)
	}
}

func TestMeasuredFieldsAreRefusedElsewhere(t *testing.T) {
	d := newDecoder("fleet.yaml", "fleet")
	d.file([]byte("version: 1\nhosts: { name: web-a1, zone: zone-a, presence: lost }\n"), fleetLimits, &pb.Fleet{})
	if len(d.problems) != 1 || d.problems[0].GetMessage() != `"presence" is measured, not written` {
		t.Errorf("problems are %v", d.problems)
	}
}

// TestTimesOfDayOnlyGoForward: an earlier time of day than the line before is the next day.
func TestTimesOfDayOnlyGoForward(t *testing.T) {
	src := `
version: 1
name: x
clock: { origin: "2012-06-29T19:57:00-07:00" }
targets: { it: { zone: zone-a } }
timeline:
  - at: "23:15"
    phase: late
    faults: [disk.stall: { target: it, until: "00:25" }]
  - { at: "00:10", phase: after_midnight }
  - { at: %s, phase: last }
`
	for at, legal := range map[string]bool{`"00:05"`: true, "T+4h13m": true, "T+4h12m": false, "late": false, "after_midnight": true} {
		_, _, problems := Decode("x.yaml", fmt.Appendf(nil, src, at))
		if (problems == nil) != legal {
			t.Errorf("at: %s gives %v", at, problems)
		}
	}
}

func TestProblemsAreBounded(t *testing.T) {
	src := "version: 1\n" + strings.Repeat("k: 1\n", 3000)
	if _, _, problems := Decode("x.yaml", []byte(src)); len(problems) != mostProblems+1 {
		t.Errorf("%d problems were told", len(problems))
	}
}

func TestNodesAreBounded(t *testing.T) {
	for name, src := range map[string]string{
		"bytes": strings.Repeat("# long\n", 1<<18),
		"nodes": "timeline: [" + strings.Repeat("a, ", 20_000) + "a]",
		"depth": strings.Repeat("[", 50) + strings.Repeat("]", 50),
	} {
		if _, _, problems := Decode("x.yaml", []byte(src)); len(problems) != 1 {
			t.Errorf("%s: %d problems, want the one about the bound", name, len(problems))
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, pattern := range []string{"testdata/examples/*.yaml", "testdata/mistakes/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, kind := range append(Kinds, Kind(src)) {
			problems := Validate(kind, "fuzz.yaml", src)
			if len(problems) > mostProblems+1 {
				t.Errorf("%d problems", len(problems))
			}
			if strings.ContainsAny(problems.Error(), "\x1b\x00\x07\u009b") {
				t.Errorf("a control character came through: %q", problems.Error())
			}
		}
		e, _, problems := Decode("fuzz.yaml", src)
		if problems == nil && proto.Size(e) > 8<<20 {
			t.Errorf("%d bytes became a message of %d", len(src), proto.Size(e))
		}
		_, _ = Defaults(e), WithDefaults(e)
	})
}

func glob(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("glob %s: %d files, %v", pattern, len(files), err)
	}
	return files
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func golden(t testing.TB, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := string(read(t, file)); got != want {
		t.Errorf("%s differs; run with -update and look\n--- got\n%s--- want\n%s", file, got, want)
	}
}
