package judge

import (
	"strconv"
	"strings"
	"testing"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// TestSyntaxIsExplainedInWords: what people write from habit is answered with
// what to write, at its place.
func TestSyntaxIsExplainedInWords(t *testing.T) {
	for text, want := range map[string][3]string{
		"shop.success >= 99%":                  {"16", `"99%" carries a unit`, "write 0.99"},
		"shop.success >= 99.5 %":               {"16", `"99.5 %" carries a unit`, "write 0.995"},
		"shop.p99 < 300ms":                     {"11", `"300ms" carries a unit`, "write 300 against p50, p95 and p99"},
		"shop.age > 15s":                       {"11", `"15s" carries a unit`, "15 against age"},
		`zones.lit.all(z, z.name == "5s") && `: {"36", "the expression ends too early", "write a comparison"},
		"shop.success >=":                      {"15", "the expression ends too early", "write a comparison"},
		"":                                     {"0", "the expression ends too early", "write a comparison"},
		"shop.success = 1":                     {"13", `"=" compares nothing`, "write =="},
		"shop.success >= 0.9 and shop.age < 5": {"20", `"and" is not written so here`, "write &&"},
		"shop.success => 0.9":                  {"13", `"=>" is not written so here`, "write >="},
		"shop.success < 0.9 or shop.age > 5":   {"19", `"or" is not written so here`, "write ||"},
		"shop.success >= 0.9 )":                {"20", `")" can't stand here`, "write a comparison"},
	} {
		v := newVocabulary(&pb.Experiment{
			Probes: map[string]*pb.Probe{"shop": {}}, Zones: map[string]*pb.ZoneRole{"lit": {}},
		})
		if err := v.open(); err != nil {
			t.Fatal(err)
		}
		_, wrong := v.compile(text)
		if wrong == nil {
			t.Errorf("%q compiles", text)
			continue
		}
		if strings.Contains(wrong.message, "expecting {") || !strings.Contains(wrong.message, want[1]) || !strings.Contains(wrong.fix, want[2]) {
			t.Errorf("%q: %s; fix: %s", text, wrong.message, wrong.fix)
		}
		if got := len([]rune(text[:min(len(text), wrong.column)])); want[0] != strconv.Itoa(got) {
			t.Errorf("%q: the place is %d, want %s", text, wrong.column, want[0])
		}
	}
}

// FuzzSyntax: whatever stands in an expression, a complaint names a place in it
// and says how to mend it.
func FuzzSyntax(f *testing.F) {
	for _, text := range []string{"a.success >= 99%", "'", `"5s`, "5s5s", "300 ms", "%%", "\x00", "é 5% >"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e := &pb.Experiment{SteadyState: &pb.SteadyState{All: []string{text}}}
		_, problems := Compile(e, experiments.Source{})
		for _, p := range problems {
			if p.GetMessage() == "" || p.GetFix() == "" {
				t.Errorf("%q: %v", text, p)
			}
		}
	})
}
