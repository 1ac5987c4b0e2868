package undo

import (
	"fmt"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// Text is a record in a line for people: what it says, and of what.
func Text(r *pb.Record) string {
	switch k := r.GetKind().(type) {
	case *pb.Record_Intent:
		return "the undo of " + of(k.Intent)
	case *pb.Record_Mark:
		return of(k.Mark) + ": " + text.Word(k.Mark.GetState())
	case *pb.Record_Order:
		return fmt.Sprintf("order %d.%d", k.Order.GetEpoch(), k.Order.GetIndex())
	case *pb.Record_Halt:
		if k.Halt.GetEngaged() {
			return "halt " + k.Halt.GetId()
		}
		return "the end of halt " + k.Halt.GetId()
	case *pb.Record_Schedule:
		return "the schedule of " + of(k.Schedule.GetTask())
	case *pb.Record_Forget:
		return "that " + of(k.Forget) + " may be forgotten"
	case *pb.Record_Damage:
		if k.Damage.GetConfirmed() {
			return "that damage was confirmed"
		}
		return "damage"
	}
	return "its own form" // an empty record makes the writer write everything anew
}

// of names the step that a record speaks of.
func of(m interface {
	GetRun() string
	GetStep() string
},
) string {
	return m.GetStep() + " of " + m.GetRun()
}
