package state

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// maxAudit is how many acts are kept.
const maxAudit = 10_000

// auditAct records who did what, if the command is an act of somebody. Its
// hash covers the record and the hash before it.
func (t *change) auditAct(refused *pb.Problem) {
	act, object := actOf(t.cmd)
	if act == "" {
		return
	}
	result := "done"
	if refused != nil {
		result = "refused: " + refused.GetMessage()
	}
	t.record(t.cmd.GetBy(), act, object, result)
}

// record adds an act to the record, and drops the oldest beyond its bound.
func (t *change) record(by *pb.Principal, act, object, result string) {
	rec := brief(&pb.AuditRecord{Index: t.index, AtUnixNanos: t.last, By: brief(by), Act: act, Object: object, Result: result})
	var before []byte
	if n := len(t.audit); n > 0 {
		before = t.audit[n-1].GetHash()
	}
	rec.Hash = chain(before, rec)
	t.audit = append(t.audit, rec)
	if extra := len(t.audit) - maxAudit; extra > 0 {
		t.audit = t.audit[extra:]
	}
}

// chain is the hash of a record after another.
func chain(before []byte, rec *pb.AuditRecord) []byte {
	sum := sha256.Sum256(append(bytes.Clone(before), canon(rec)...))
	return sum[:]
}

// CheckAudit verifies the hash chain of records in a row. The first record's
// own link can be checked only when nothing was dropped before it.
func CheckAudit(records []*pb.AuditRecord) error {
	for i := 1; i < len(records); i++ {
		if !bytes.Equal(records[i].GetHash(), chain(records[i-1].GetHash(), records[i])) {
			return fmt.Errorf("check audit: the record at index %d, %q, does not follow the one before it",
				records[i].GetIndex(), records[i].GetAct())
		}
	}
	return nil
}

// actOf names a command that is somebody's act, and its object. What hosts
// report and what follows from it is in the runs' stories.
func actOf(c *pb.Command) (act, object string) {
	switch k := c.GetKind().(type) {
	case *pb.Command_AdmitRun:
		return "run", k.AdmitRun.GetRun()
	case *pb.Command_Fire:
		return "fire", k.Fire.GetRun()
	case *pb.Command_EndRun:
		return endAct(k.EndRun.GetCause()), k.EndRun.GetRun()
	case *pb.Command_Halt:
		return "halt", k.Halt.GetId()
	case *pb.Command_Resume:
		return "resume", k.Resume.GetId()
	case *pb.Command_ForgetHost:
		return "forget", k.ForgetHost.GetHost()
	case *pb.Command_ConfirmDamage:
		return "confirm damage", k.ConfirmDamage.GetHost()
	case *pb.Command_PutSchedule:
		return "put schedule", k.PutSchedule.GetName()
	case *pb.Command_RemoveSchedule:
		return "remove schedule", k.RemoveSchedule.GetName()
	case *pb.Command_PauseSchedule:
		if k.PauseSchedule.GetPaused() {
			return "pause schedule", k.PauseSchedule.GetName()
		}
		return "resume schedule", k.PauseSchedule.GetName()
	case *pb.Command_PutExperiment:
		return "put experiment", at(k.PutExperiment.GetName(), Digest(k.PutExperiment.GetSource()))
	case *pb.Command_RemoveExperiment:
		return "remove experiment", at(k.RemoveExperiment.GetName(), k.RemoveExperiment.GetDigest())
	case *pb.Command_PutCalendar:
		return "put calendar", k.PutCalendar.GetCalendar().GetName()
	case *pb.Command_RemoveCalendar:
		return "remove calendar", k.RemoveCalendar.GetName()
	case *pb.Command_PruneArchived:
		return "prune archive", text.Count(len(k.PruneArchived.GetRuns()), "run")
	case *pb.Command_PutSink:
		return "put sink", k.PutSink.GetSink().GetName()
	case *pb.Command_RemoveSink:
		return "remove sink", k.RemoveSink.GetName()
	case *pb.Command_SettleDead:
		return settled(k.SettleDead)
	case *pb.Command_SetGuardrails:
		return "guardrails", ""
	case *pb.Command_SetGuard:
		return "set guard", k.SetGuard.GetGuard().GetName()
	case *pb.Command_RemoveGuard:
		return "remove guard", k.RemoveGuard.GetName()
	case *pb.Command_ExceptGuards:
		if k.ExceptGuards.GetRevoke() {
			return "revoke exception", k.ExceptGuards.GetException().GetDigest()
		}
		return "except guards", k.ExceptGuards.GetException().GetDigest()
	case *pb.Command_RaiseEpoch:
		return "epoch", ""
	case *pb.Command_AcceptTime:
		return timeAct(k.AcceptTime)
	case *pb.Command_SetRules:
		return "rules", fmt.Sprint(k.SetRules.GetVersion())
	}
	return "", ""
}

func endAct(cause pb.EndCause) string {
	if cause == pb.EndCause_END_CAUSE_UNDO {
		return "undo"
	}
	return "end: " + text.Word(cause)
}
