package bpf

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"
)

// conversation is a Delay with the test as its helper.
func conversation(t *testing.T) (d *Delay, asked *bufio.Scanner, answers *json.Encoder) {
	t.Helper()
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, f := range []*os.File{theirIn, in, out, theirOut} {
			f.Close()
		}
	})
	d = &Delay{cmd: &exec.Cmd{}, in: in, out: out, reply: bufio.NewReader(out), done: make(chan struct{})}
	return d, bufio.NewScanner(theirIn), json.NewEncoder(theirOut)
}

// A helper that was starved over one answer is understood again afterwards, and
// its late answer is not taken for the next.
func TestLateAnswerIsNotTheNext(t *testing.T) {
	d, asked, answers := conversation(t)
	if _, err := d.ask(struct{}{}, 10*time.Millisecond); err == nil {
		t.Fatal("there was no answer")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := uint64(1); n <= 2 && asked.Scan(); n++ {
			_ = answers.Encode(LineReport{Counters: map[string]uint64{"delayed_out": n}})
		}
	}()
	n, err := d.ask(struct{}{}, 10*time.Second)
	if err != nil || n["delayed_out"] != 2 {
		t.Errorf("it heard %v, %v, and the helper answered 2", n, err)
	}
	<-done
}

// A helper that hangs before it reads its order keeps nobody waiting.
func TestOrderThatNobodyReadsIsGivenUp(t *testing.T) {
	d, _, _ := conversation(t)
	heard := make(chan error, 1)
	go func() {
		_, err := d.ask(LineOrder{Op: make([]byte, 1<<20)}, 50*time.Millisecond)
		heard <- err
	}()
	select {
	case err := <-heard:
		if err == nil {
			t.Error("nobody read it, and it was answered")
		}
	case <-time.After(5 * time.Second):
		t.Error("it waits for ever")
	}
}
