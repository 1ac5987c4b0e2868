package step

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"squall/agent/fault"
	"squall/agent/undo"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

var update = flag.Bool("update", false, "write what the scenes in testdata give")

// TestScenes plays the core without a host: each block of a file in testdata is
// news, then ----, then what the core asks for and how its steps stand.
func TestScenes(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenes: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newScene(t).play(string(script))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(script) {
				t.Errorf("%s: not as written; -update writes what it is:\n%s", file, got)
			}
		})
	}
}

// scene is a core with a clock of its own. Cluster time is a thousand hours
// ahead of boot time, which begins at 0.
type scene struct {
	t     *testing.T
	core  *core
	now   time.Duration
	out   bytes.Buffer
	known map[key]journaled
	// cause is why the core wanted the last revert.
	cause pb.RevertCause
	// sees is what each look brings; hangs: nothing comes of it.
	sees map[string]string
	// looked are the steps that were looked at.
	looked map[key]bool
}

const sceneOffset = 1000 * time.Hour

func newScene(t *testing.T) *scene {
	s := &scene{t: t, known: map[key]journaled{}, looked: map[key]bool{}, sees: map[string]string{"dropped": "holds"}}
	s.core = newCore("web-a1", "", s.instant(), nil, nil, nil)
	return s
}

func (s *scene) instant() instant { return instant{boot: s.now, offset: sceneOffset, known: true} }

// play runs every block and returns the script with what was asked for.
func (s *scene) play(script string) string {
	for block := range strings.SplitSeq(strings.TrimSpace(script), "\n\n") {
		news, _, _ := strings.Cut(block, "\n----")
		if strings.HasPrefix(news, "#") && !strings.Contains(block, "----") {
			fmt.Fprintf(&s.out, "%s\n\n", block)
			continue
		}
		fmt.Fprintf(&s.out, "%s\n----\n", news)
		for line := range strings.SplitSeq(news, "\n") {
			if !strings.HasPrefix(line, "#") {
				s.line(line)
			}
		}
		for _, step := range s.core.sorted() {
			fmt.Fprintf(&s.out, "%s is %s\n", step.key, text.Word(step.state))
			for _, e := range step.told.GetEvidence() {
				fmt.Fprintf(&s.out, "  %s holds: %t: %s\n", e.GetName(), e.GetHolds(), e.GetText())
			}
		}
		s.out.WriteString("\n")
	}
	return strings.TrimRight(s.out.String(), "\n") + "\n"
}

// line is one piece of news, or time that passes without any.
func (s *scene) line(line string) {
	words := strings.Fields(line)
	switch words[0] {
	case "pass":
		s.pass(s.span(words[1]))
		return
	case "sleep": // the machine does, and nobody looks
		s.now += s.span(words[1])
		return
	}
	s.take(s.news(words[0], words[1:]))
}

func (s *scene) take(n news) {
	for _, e := range s.core.take(s.instant(), n) {
		if f, ok := e.(looking); ok && s.looked[f.key] {
			s.look(f.key) // it looks each second: only the first is shown
			continue
		}
		fmt.Fprintf(&s.out, "%s: %s\n", s.now, e)
		switch e := e.(type) {
		case reverting:
			s.cause = e.cause
		case looking:
			s.look(e.key)
		}
	}
	if o, ok := n.(*ordered); ok && o.err != nil {
		fmt.Fprintf(&s.out, "%s: refused: %v\n", s.now, o.err)
	}
}

// pass lets the core look whenever it wants to.
func (s *scene) pass(d time.Duration) {
	for until := s.now + d; s.now < until; {
		s.now = min(max(s.core.next(), s.now+time.Millisecond), until)
		s.take(nil)
	}
}

func (s *scene) span(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// news reads a line: its name, and words that are RUN/STEP or KEY=VALUE.
func (s *scene) news(name string, words []string) news {
	k, values := key{}, map[string]string{}
	for _, w := range words {
		if run, step, ok := strings.Cut(w, "/"); ok && !strings.Contains(w, "=") {
			k = key{run, step}
		} else {
			name, value, _ := strings.Cut(w, "=")
			values[name] = value
		}
	}
	var err error
	if why := values["err"]; why != "" {
		err = errors.New(why)
	}
	switch name {
	case "order":
		return &ordered{order: s.order(k, values)}
	case "lease":
		return &renewed{s.now}
	case "halt":
		return &halting{&pb.HaltLatch{Id: values["id"], Engaged: true}}
	case "undo":
		return &undone{cause: pb.RevertCause_REVERT_CAUSE_LOCAL}
	case "planned":
		return &planned{key: k, changes: s.changes(k), facts: &pb.Facts{}, factsAt: s.now, err: err}
	case "scheduled":
		return &noted{k, err}
	case "armed":
		return &armedNews{k}
	case "injected":
		return &injected{key: k, known: s.journal(k, pb.StepState_STEP_STATE_ARMED), err: err}
	case "sees":
		s.sees = values
		return nil
	case "died":
		return &died{tag: values["tag"], why: values["why"]}
	case "reverted":
		return s.reverted(k, values)
	}
	s.t.Fatalf("no such news: %s", name)
	return nil
}

// order is index=N with the tasks of k, or none; start=D and for=D from now.
func (s *scene) order(k key, values map[string]string) *pb.Order {
	index, _ := strconv.ParseUint(values["index"], 10, 64)
	o := &pb.Order{Epoch: 1, Index: index}
	if id := values["halt"]; id != "" {
		o.Halt = &pb.HaltLatch{Id: id, Engaged: true}
	}
	if k == (key{}) {
		return o
	}
	if values["confirmed"] != "" {
		o.Confirmed = []*pb.StepKey{{Run: k.run, Step: k.step}}
		return o
	}
	start := s.now + sceneOffset + s.span(values["start"])
	_, fire := values["fire"]
	o.Tasks = []*pb.Task{{
		Run: k.run, Step: k.step, Fire: fire, Fault: &pb.Fault{Kind: &pb.Fault_DnsFail{DnsFail: &pb.DNSFail{}}},
		StartUnixNanos: int64(start), EndUnixNanos: int64(start + s.span(values["for"])),
		DeadlineUnixNanos: int64(start + s.span(values["for"]) + 10*time.Second), LeaseNanos: int64(10 * time.Second),
	}}
	return o
}

// changes are those of a step's plan: one, of the name lookups of the host.
func (s *scene) changes(k key) []*pb.Change {
	step := s.core.steps[k]
	return []*pb.Change{{Do: &pb.Op{
		Tag: fault.Tag(k.run, k.step) + "/dns", Kind: &pb.Op_DropDns{DropDns: &pb.DropDNS{}},
		Gate: &pb.Gate{StartBootNanos: int64(step.start), EndBootNanos: int64(step.end)},
	}}}
}

// look answers a look at once with what there is to see: NAME=holds or NAME=no,
// err=TEXT when it fails, hangs=yes when no answer comes.
func (s *scene) look(k key) {
	s.looked[k] = true
	if s.sees["hangs"] != "" {
		return
	}
	n := &seenNews{key: k, ok: s.sees["err"] == ""}
	for _, name := range slices.Sorted(maps.Keys(s.sees)) {
		if name != "err" {
			n.evidence = append(n.evidence, &pb.Evidence{Name: name, Holds: s.sees[name] == "holds", Text: "as read"})
		}
	}
	s.take(n)
}

// journal is what the journal knows of a step that reached a state.
func (s *scene) journal(k key, state pb.StepState) journaled {
	known := s.known[k]
	if known == nil {
		known = &undo.Step{Run: k.run, Step: k.step, Intent: &pb.Intent{Run: k.run, Step: k.step}}
	}
	known.State = max(known.State, state)
	s.known[k] = known
	return known
}

// reverted is residue=TEXT, or unknown=yes for a step of which the journal knew
// nothing.
func (s *scene) reverted(k key, values map[string]string) news {
	m := &pb.Mark{Run: k.run, Step: k.step, State: pb.StepState_STEP_STATE_REVERTED, Cause: s.cause}
	if residue := values["residue"]; residue != "" {
		m.Residue = []string{residue}
	}
	if values["unknown"] != "" {
		return &revertedNews{key: k, mark: m}
	}
	known := s.journal(k, m.GetState())
	known.Residue = m.GetResidue()
	return &revertedNews{key: k, mark: m, known: known}
}
