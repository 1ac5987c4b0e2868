package state

import (
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"

	pb "squall/proto/squall/v1"
)

// kinds is what a command may be, of which it is one. Like the table, it is made
// when the first command comes: whoever brings none does not pay for it.
var kinds = sync.OnceValue(func() protoreflect.OneofDescriptor {
	return (&pb.Command{}).ProtoReflect().Descriptor().Oneofs().ByName("kind")
})

// commands are what this build carries out, by the name of the command's kind.
// Each changes the view in the making, or says why not.
var commands = sync.OnceValue(func() map[protoreflect.Name]func(*change) *pb.Problem {
	return map[protoreflect.Name]func(*change) *pb.Problem{
		"update_hosts":      does((*pb.Command).GetUpdateHosts, (*change).updateHosts),
		"admit_run":         does((*pb.Command).GetAdmitRun, (*change).admit),
		"prepare":           does((*pb.Command).GetPrepare, (*change).prepare),
		"fire":              does((*pb.Command).GetFire, (*change).fire),
		"hold":              does((*pb.Command).GetHold, (*change).hold),
		"begin_phase":       does((*pb.Command).GetBeginPhase, (*change).beginPhase),
		"end_run":           does((*pb.Command).GetEndRun, (*change).endRun),
		"recover":           does((*pb.Command).GetRecover, (*change).recoverRun),
		"finish":            does((*pb.Command).GetFinish, (*change).finish),
		"record_steps":      does((*pb.Command).GetRecordSteps, (*change).recordSteps),
		"record_windows":    does((*pb.Command).GetRecordWindows, (*change).recordWindows),
		"forget_host":       does((*pb.Command).GetForgetHost, (*change).forgetHost),
		"confirm_damage":    does((*pb.Command).GetConfirmDamage, (*change).confirmDamage),
		"put_schedule":      does((*pb.Command).GetPutSchedule, (*change).putSchedule),
		"remove_schedule":   does((*pb.Command).GetRemoveSchedule, (*change).removeSchedule),
		"pause_schedule":    does((*pb.Command).GetPauseSchedule, (*change).pauseSchedule),
		"pass_slot":         does((*pb.Command).GetPassSlot, (*change).passSlot),
		"hold_slot":         does((*pb.Command).GetHoldSlot, (*change).holdSlot),
		"put_experiment":    does((*pb.Command).GetPutExperiment, (*change).putExperiment),
		"remove_experiment": does((*pb.Command).GetRemoveExperiment, (*change).removeExperiment),
		"put_calendar":      does((*pb.Command).GetPutCalendar, (*change).putCalendar),
		"remove_calendar":   does((*pb.Command).GetRemoveCalendar, (*change).removeCalendar),
		"seal_runs":         does((*pb.Command).GetSealRuns, (*change).sealRuns),
		"record_archived":   does((*pb.Command).GetRecordArchived, (*change).recordArchived),
		"prune_archived":    does((*pb.Command).GetPruneArchived, (*change).pruneArchived),
		"put_sink":          does((*pb.Command).GetPutSink, (*change).putSink),
		"remove_sink":       does((*pb.Command).GetRemoveSink, (*change).removeSink),
		"record_delivered":  does((*pb.Command).GetRecordDelivered, (*change).recordDelivered),
		"settle_dead":       does((*pb.Command).GetSettleDead, (*change).settleDead),
		"grant_tokens":      does((*pb.Command).GetGrantTokens, (*change).grantTokens),
		"halt":              does((*pb.Command).GetHalt, (*change).pull),
		"resume":            does((*pb.Command).GetResume, (*change).resume),
		"set_guardrails":    does((*pb.Command).GetSetGuardrails, (*change).setGuardrails),
		"set_guard":         does((*pb.Command).GetSetGuard, (*change).setGuard),
		"remove_guard":      does((*pb.Command).GetRemoveGuard, (*change).removeGuard),
		"except_guards":     does((*pb.Command).GetExceptGuards, (*change).exceptGuards),
		"raise_epoch":       does((*pb.Command).GetRaiseEpoch, (*change).raiseEpoch),
		"accept_time":       does((*pb.Command).GetAcceptTime, (*change).acceptTime),
		"set_rules":         does((*pb.Command).GetSetRules, (*change).setRules),
	}
})

// does has a kind of command carried out by a method.
func does[C any](of func(*pb.Command) C, do func(*change, C) *pb.Problem) func(*change) *pb.Problem {
	return func(t *change) *pb.Problem { return do(t, of(t.cmd)) }
}
