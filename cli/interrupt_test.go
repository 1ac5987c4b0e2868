package main

import (
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// asked is a follower whose person types, or does nothing, at the question.
func asked(stdin io.Reader) *follower {
	return &follower{app: &app{stdin: stdin, stderr: io.Discard, settings: &settings{UndoAfter: 5 * time.Second}}}
}

// TestCtrlCIsAnsweredByItsFirstLetter holds that only H pulls the region-wide
// lever, and that whoever answers with something else is asked again.
func TestCtrlCIsAnsweredByItsFirstLetter(t *testing.T) {
	for line, want := range map[string]choice{
		"u\n": undoRun, "\n": undoRun, "": undoRun,
		"d\n": detachRun, " detach\n": detachRun, "H\n": haltAll, "halt\n": haltAll, "c\n": continueRun,
		"x\nc\n": continueRun, "what?\nd\n": detachRun, "cancel\nH\n": haltAll, "hello\n": undoRun,
	} {
		if got := asked(strings.NewReader(line)).choose(nil); got != want {
			t.Errorf("%q is understood as %d, want %d", line, got, want)
		}
	}
}

// TestCtrlCUndoesWhereNobodyAnswers, after five seconds of silence.
func TestCtrlCUndoesWhereNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent, typing := io.Pipe()
		defer typing.Close()
		began := time.Now()
		if got := asked(silent).choose(nil); got != undoRun {
			t.Errorf("it chose %d", got)
		}
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("it waited for %v", waited)
		}
	})
}

// TestSecondCtrlCLeavesAtOnce also while the question still stands.
func TestSecondCtrlCLeavesAtOnce(t *testing.T) {
	silent, typing := io.Pipe()
	defer typing.Close()
	more := make(chan os.Signal, 1)
	more <- os.Interrupt
	if got := asked(silent).choose(more); got != leaveNow {
		t.Errorf("it chose %d", got)
	}
}

// TestUnlistedAnswerIsAskedAgain says which answer was not understood, and puts
// the whole question once more.
func TestUnlistedAnswerIsAskedAgain(t *testing.T) {
	f := asked(strings.NewReader("x\x1b[31m\nc\n"))
	var said strings.Builder
	f.stderr = &said
	if got := f.choose(nil); got != continueRun {
		t.Errorf("it chose %d", got)
	}
	if n := strings.Count(said.String(), "[u]ndo this run"); n != 2 {
		t.Errorf("the question was put %d times:\n%s", n, said.String())
	}
	if !strings.Contains(said.String(), `"x\x1b[31m" is none of these`) {
		t.Errorf("it does not say what was not understood:\n%s", said.String())
	}
}
