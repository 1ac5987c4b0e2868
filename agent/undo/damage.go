package undo

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// Damaged says that some of the journal could not be read, and that nobody has
// confirmed since that new faults may begin.
func (j *Journal) Damaged() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.damaged() != nil
}

// damaged is the damage that stands. The caller holds mu.
func (j *Journal) damaged() *pb.Damage {
	r := j.memory.damage
	d := r.GetDamage()
	if d == nil || d.GetConfirmed() {
		return nil
	}
	if d.GetId() == "" { // recorded by an earlier build
		d = proto.CloneOf(d)
		d.Id, d.SinceUnixNanos = damageID(r), r.GetUnixNanos()
	}
	return d
}

// damageRecord is what was found just now, on top of what stands already: that
// stands since it was found first. The caller holds mu.
func (j *Journal) damageRecord(what []string) *pb.Record {
	r := &pb.Record{Seq: j.seq, BootId: j.options.BootID, UnixNanos: time.Now().UnixNano()}
	d := &pb.Damage{What: what, Id: damageID(r), SinceUnixNanos: r.GetUnixNanos()}
	if old := j.damaged(); old != nil {
		d.SinceUnixNanos = old.GetSinceUnixNanos()
		for _, line := range old.GetWhat() {
			if !slices.Contains(what, line) {
				d.What = append(d.What, line)
			}
		}
		d.What = d.What[:min(len(d.What), maxDamage)]
	}
	r.Kind = &pb.Record_Damage{Damage: d}
	return r
}

// damageID names damage by when it was found; the host's name stands beside it
// wherever it is told.
func damageID(r *pb.Record) string { return fmt.Sprintf("%x-%d", r.GetUnixNanos(), r.GetSeq()) }
