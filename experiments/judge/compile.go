package judge

import (
	"fmt"
	"strings"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// Compile checks and compiles every expression of an experiment. The Judge can be used only where there are no problems.
func Compile(e *pb.Experiment, src Source) (*Judge, experiments.Problems) {
	c := &compiler{src: src, vocabulary: newVocabulary(e)}
	j := &Judge{experiment: experiments.WithDefaults(e)}
	if err := c.vocabulary.open(); err != nil {
		c.problem("probes", err.Error(), "rename the probe or target")
		return j, c.problems
	}
	j.steady = c.all("steady_state.all", e.GetSteadyState().GetAll())
	j.verify = c.all("revert.verify", e.GetRevert().GetVerify())
	if when := e.GetSchedule().GetSkipWhen(); when != "" {
		j.skip = []*expression{c.compile("schedule.skip_when", when)}
	}
	for i, p := range e.GetProof() {
		j.proof = append(j.proof, c.compile(fmt.Sprintf("proof[%d].check", i), p.GetCheck()))
	}
	for i, x := range e.GetExpect() {
		j.expect = append(j.expect, c.compile(fmt.Sprintf("expect[%d].check", i), x.GetCheck()))
	}
	for i, a := range e.GetAbort() {
		j.abort = append(j.abort, c.compile(fmt.Sprintf("abort[%d].when", i), a.GetWhen()))
	}
	return j, c.problems
}

// compiler gathers problems on its way through a file.
type compiler struct {
	src        Source
	vocabulary *vocabulary
	problems   experiments.Problems
}

func (c *compiler) problem(path, message, fix string) *pb.Problem {
	p := c.src.Problem(path, message, fix)
	p.Refusal = pb.Refusal_REFUSAL_INVALID
	c.problems = append(c.problems, p)
	return p
}

func (c *compiler) all(path string, texts []string) []*expression {
	list := make([]*expression, len(texts))
	for i, text := range texts {
		list[i] = c.compile(fmt.Sprintf("%s[%d]", path, i), text)
	}
	return list
}

func (c *compiler) compile(path, text string) *expression {
	x, wrong := c.vocabulary.compile(text)
	if wrong != nil {
		shift(c.problem(path, wrong.message, wrong.fix), text, wrong.column)
	}
	return x
}

// shift moves a problem from the start of an expression to a column inside it,
// where the excerpt shows the expression up to there as it was written.
func shift(p *pb.Problem, text string, column int) {
	line, caret, _ := strings.Cut(p.GetExcerpt(), "\n")
	shown, at := []rune(line), strings.IndexByte(caret, '^')
	if at < 0 || at >= len(shown) {
		return
	}
	quote := 0
	if shown[at] == '"' || shown[at] == '\'' {
		quote = 1
	}
	before := []rune(text)[:min(column, len([]rune(text)))]
	if !strings.HasPrefix(string(shown[at+quote:]), string(before)) {
		return
	}
	p.Column += uint32(quote + column)
	p.Excerpt = line + "\n" + strings.Repeat(" ", quote+column) + caret
}
