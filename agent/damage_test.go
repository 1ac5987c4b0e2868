package agent

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"testing"
	"time"

	"squall/agent/undo/undotest"
	pb "squall/proto/squall/v1"
)

// said is the last that a door heard of the damage of the host's journal.
func (d *door) said() *pb.Damage {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.damage[len(d.damage)-1]
}

// TestServersHearOfDamageAndConfirmIt holds that a damaged journal is no secret
// of its host: the greeting tells of it, each new server hears it, an order
// confirms it, and that is told at once.
func TestServersHearOfDamageAndConfirmIt(t *testing.T) {
	dir := t.TempDir()
	if err := undotest.Damage(dir); err != nil {
		t.Fatal(err)
	}
	withJournal(t, dir, func(r *region) {
		first := r.used()
		found := first.said()
		if found.GetId() == "" || len(found.GetWhat()) == 0 || found.GetConfirmed() {
			t.Fatalf("the greeting says: %v", found)
		}
		first.do(func() { first.mute = true })
		time.Sleep(10 * time.Second)
		second := r.used()
		if got := second.said(); second == first || got.GetId() != found.GetId() {
			t.Fatalf("the next server hears: %v", got)
		}
		second.tell(&pb.SessionResponse{Kind: &pb.SessionResponse_Order{Order: &pb.Order{
			Epoch: 1, Index: 1, ConfirmedDamage: found.GetId(),
		}}})
		time.Sleep(100 * time.Millisecond)
		if got := second.said(); !got.GetConfirmed() {
			t.Errorf("after the confirmation it says: %v", got)
		}
		r.fire(second, 2)
		time.Sleep(4 * time.Second)
		if runs(r.fake) {
			t.Error("a confirmed host takes no fault")
		}
	})
}

// TestConfirmationOnTheHostIsToldToServers holds that both ways end the same.
func TestConfirmationOnTheHostIsToldToServers(t *testing.T) {
	dir := t.TempDir()
	if err := undotest.Damage(dir); err != nil {
		t.Fatal(err)
	}
	withJournal(t, dir, func(r *region) {
		client, done := r.local.dial(t)
		defer done()
		st, err := client.Status(context.Background(), &pb.LocalStatusRequest{})
		if err != nil || st.GetDamage().GetId() == "" {
			t.Fatalf("status says: %v, %v", st, err)
		}
		if doc, err := client.Doctor(context.Background(), &pb.LocalDoctorRequest{}); err != nil || doc.GetDamage().GetId() == "" {
			t.Errorf("doctor says: %v, %v", doc, err)
		}
		if _, err := client.Resume(context.Background(), &pb.LocalResumeRequest{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if got := r.used().said(); !got.GetConfirmed() {
			t.Errorf("the server hears: %v", got)
		}
	})
}

// TestSocketOfADeadWorkerIsUnlisted holds that nobody connects to a worker that
// was killed and that the kernel keeps from dying: it still listens.
func TestSocketOfADeadWorkerIsUnlisted(t *testing.T) {
	p := &Process{Socket: filepath.Join(t.TempDir(), "sock")}
	l, err := net.Listen("unix", p.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 2 {
		if err := p.unlist(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := net.Dial("unix", p.Socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("who connects hears %v", err)
	}
}
