package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

func refusalsDoc(t *testing.T) string {
	t.Helper()
	doc, err := os.ReadFile("../docs/refusals.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

// TestEveryRefusalIsDocumented: the table lists each refusal with the exit
// code that it has in code, and each exit code.
func TestEveryRefusalIsDocumented(t *testing.T) {
	doc := refusalsDoc(t)
	for number, name := range pb.Refusal_name {
		r := pb.Refusal(number)
		if r == pb.Refusal_REFUSAL_UNSPECIFIED {
			continue
		}
		row := fmt.Sprintf("| `%s` | %d |", strings.TrimPrefix(name, "REFUSAL_"), experiments.ExitCode(r))
		if !strings.Contains(doc, row) {
			t.Errorf("docs/refusals.md has no row %q", row)
		}
	}
	for number := range pb.Verdict_name {
		code := experiments.VerdictExitCode(pb.Verdict(number), false)
		if !strings.Contains(doc, fmt.Sprintf("\n| %d | ", code)) {
			t.Errorf("docs/refusals.md lacks exit code %d", code)
		}
	}
}

// TestDocumentedMessagesAreReal: what the table says a refusal says stands in
// the code, word for word, around what is named.
func TestDocumentedMessagesAreReal(t *testing.T) {
	code := sources(t, "../server", "../experiments", "../agent", "../proto/text")
	for _, row := range regexp.MustCompile("(?m)^\\| `[A-Z_]+` \\| \\d+ \\| (.*?) \\|").FindAllStringSubmatch(refusalsDoc(t), -1) {
		for piece := range strings.SplitSeq(row[1], "…") {
			if piece = strings.Trim(piece, " :,();"); piece == "no space left on device" {
				continue // the kernel's own words
			} else if !strings.Contains(code, piece) {
				t.Errorf("nobody says %q, of %q", piece, row[1])
			}
		}
	}
}

// TestInconclusivePageIsReal: what the page says that a report says stands in
// the judge's code, and the causes that the judge has stand on the page.
func TestInconclusivePageIsReal(t *testing.T) {
	page, err := os.ReadFile("../docs/inconclusive.md")
	if err != nil {
		t.Fatal(err)
	}
	code := sources(t, "../experiments/judge")
	for _, row := range regexp.MustCompile("(?m)^\\| ([a-z][^|`]*?) \\|").FindAllStringSubmatch(string(page), -1) {
		said, _, _ := strings.Cut(row[1], ", in ")
		for piece := range strings.SplitSeq(strings.NewReplacer(", ", "…", ": ", "…").Replace(said), "…") {
			if piece = strings.Trim(piece, " :,s"); len(piece) > 2 && !strings.Contains(piece, "report say") && !strings.Contains(piece, "counter") && !strings.Contains(code, piece) {
				t.Errorf("the judge does not say %q, of %q", piece, row[1])
			}
		}
	}
	for _, says := range []string{"no data just before", "was true before the fault", "did not hold before", "no evidence of the effect", "not known to be ready", "not known to be reverted", "when it began"} {
		if !strings.Contains(code, says) || !strings.Contains(string(page), says) {
			t.Errorf("%q is not in the code, or not on the page", says)
		}
	}
}

// TestInconclusiveReportSaysWhereToLook, and no other does.
func TestInconclusiveReportSaysWhereToLook(t *testing.T) {
	for verdict, want := range map[pb.Verdict]bool{pb.Verdict_VERDICT_INCONCLUSIVE: true, pb.Verdict_VERDICT_PASS: false, pb.Verdict_VERDICT_FAIL: false} {
		r := &pb.RunReport{Summary: &pb.RunSummary{Id: "r1", State: pb.RunState_RUN_STATE_DONE, Verdict: verdict}}
		var out strings.Builder
		told(func(a *app) error { return a.showReport(r, nil) })(&out)
		if got := strings.Contains(out.String(), "docs/inconclusive.md") && strings.Contains(out.String(), "squall report --why r1"); got != want {
			t.Errorf("%v:\n%s", verdict, out.String())
		}
	}
}

// sources is all hand-written code below the folders.
func sources(t *testing.T, dirs ...string) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			src, err := os.ReadFile(path)
			all.Write(src)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// TestDocumentedPathsAreExplained: each `squall explain PATH` that a page shows
// explains something.
func TestDocumentedPathsAreExplained(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal("there are no pages", err)
	}
	for _, page := range append(pages, "../README.md", "lab/README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, shown := range regexp.MustCompile("`squall explain ([a-z][^` ]*)`").FindAllSubmatch(text, -1) {
			if _, err := experiments.Explain(string(shown[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// TestPagesAreShortAndLinkToWhatIsThere: a page about how a part works can be read
// at once, and what any page links to in the tree is there.
func TestPagesAreShortAndLinkToWhatIsThere(t *testing.T) {
	const most = 150 // lines
	link := regexp.MustCompile(`\]\(([^)#: ]+)(#[^)]*)?\)`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if lines := strings.Count(string(text), "\n"); filepath.Base(path) == "DESIGN.md" && lines > most {
			t.Errorf("%s has %d lines, more than %d: tell a part of it beside its package", path, lines, most)
		}
		for _, to := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), to[1])); err != nil {
				t.Errorf("%s links to what is not there: %v", path, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
