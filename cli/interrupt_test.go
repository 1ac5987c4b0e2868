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
// lever, and that whatever is not understood undoes the run.
func TestCtrlCIsAnsweredByItsFirstLetter(t *testing.T) {
	for line, want := range map[string]choice{
		"u\n": undoRun, "\n": undoRun, "": undoRun, "what?\n": undoRun,
		"d\n": detachRun, " detach\n": detachRun, "H\n": haltAll, "halt\n": haltAll, "c\n": continueRun,
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
