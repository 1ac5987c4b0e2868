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

// command is a kind of command.
type command struct {
	// carryOut changes the view in the making, or says why not.
	carryOut func(*change) *pb.Problem
	// forwards chooses those that any server may have proposed, for they tell what a
	// person asked of it or its agents said. All others are the leader's to decide.
	forwards func(*pb.Command) bool
}

// commands are what this build carries out, by the name of the command's kind.
var commands = sync.OnceValue(func() map[protoreflect.Name]command {
	return map[protoreflect.Name]command{
		"update_hosts":      {does((*pb.Command).GetUpdateHosts, (*change).updateHosts), always},
		"admit_run":         {does((*pb.Command).GetAdmitRun, (*change).admit), ofNoSlot},
		"prepare":           {does((*pb.Command).GetPrepare, (*change).prepare), never},
		"fire":              {does((*pb.Command).GetFire, (*change).fire), never},
		"hold":              {does((*pb.Command).GetHold, (*change).hold), never},
		"begin_phase":       {does((*pb.Command).GetBeginPhase, (*change).beginPhase), never},
		"end_run":           {does((*pb.Command).GetEndRun, (*change).endRun), byHand},
		"recover":           {does((*pb.Command).GetRecover, (*change).recoverRun), never},
		"finish":            {does((*pb.Command).GetFinish, (*change).finish), never},
		"record_steps":      {does((*pb.Command).GetRecordSteps, (*change).recordSteps), always},
		"record_windows":    {does((*pb.Command).GetRecordWindows, (*change).recordWindows), always},
		"forget_host":       {does((*pb.Command).GetForgetHost, (*change).forgetHost), always},
		"confirm_damage":    {does((*pb.Command).GetConfirmDamage, (*change).confirmDamage), always},
		"put_schedule":      {does((*pb.Command).GetPutSchedule, (*change).putSchedule), always},
		"remove_schedule":   {does((*pb.Command).GetRemoveSchedule, (*change).removeSchedule), always},
		"pause_schedule":    {does((*pb.Command).GetPauseSchedule, (*change).pauseSchedule), always},
		"pass_slot":         {does((*pb.Command).GetPassSlot, (*change).passSlot), never},
		"hold_slot":         {does((*pb.Command).GetHoldSlot, (*change).holdSlot), never},
		"put_experiment":    {does((*pb.Command).GetPutExperiment, (*change).putExperiment), always},
		"remove_experiment": {does((*pb.Command).GetRemoveExperiment, (*change).removeExperiment), always},
		"put_calendar":      {does((*pb.Command).GetPutCalendar, (*change).putCalendar), always},
		"remove_calendar":   {does((*pb.Command).GetRemoveCalendar, (*change).removeCalendar), always},
		"seal_runs":         {does((*pb.Command).GetSealRuns, (*change).sealRuns), never},
		"record_archived":   {does((*pb.Command).GetRecordArchived, (*change).recordArchived), always},
		"prune_archived":    {does((*pb.Command).GetPruneArchived, (*change).pruneArchived), always},
		"put_sink":          {does((*pb.Command).GetPutSink, (*change).putSink), always},
		"remove_sink":       {does((*pb.Command).GetRemoveSink, (*change).removeSink), always},
		"record_delivered":  {does((*pb.Command).GetRecordDelivered, (*change).recordDelivered), never},
		"settle_dead":       {does((*pb.Command).GetSettleDead, (*change).settleDead), always},
		"grant_tokens":      {does((*pb.Command).GetGrantTokens, (*change).grantTokens), never},
		"halt":              {does((*pb.Command).GetHalt, (*change).pull), always},
		"resume":            {does((*pb.Command).GetResume, (*change).resume), always},
		"set_guardrails":    {does((*pb.Command).GetSetGuardrails, (*change).setGuardrails), always},
		"set_guard":         {does((*pb.Command).GetSetGuard, (*change).setGuard), always},
		"remove_guard":      {does((*pb.Command).GetRemoveGuard, (*change).removeGuard), always},
		"except_guards":     {does((*pb.Command).GetExceptGuards, (*change).exceptGuards), always},
		"raise_epoch":       {does((*pb.Command).GetRaiseEpoch, (*change).raiseEpoch), never},
		"accept_time":       {does((*pb.Command).GetAcceptTime, (*change).acceptTime), offTime},
		"set_rules":         {does((*pb.Command).GetSetRules, (*change).setRules), never},
	}
})

// does has a kind of command carried out by a method.
func does[C any](of func(*pb.Command) C, do func(*change, C) *pb.Problem) func(*change) *pb.Problem {
	return func(t *change) *pb.Problem { return do(t, of(t.cmd)) }
}

func always(*pb.Command) bool { return true }

func never(*pb.Command) bool { return false }

// ofNoSlot chooses the runs that somebody begins, not the calendar.
func ofNoSlot(c *pb.Command) bool { return c.GetAdmitRun().GetSlot() == nil }

// byHand chooses the ends that somebody asks for.
func byHand(c *pb.Command) bool { return c.GetEndRun().GetCause() == pb.EndCause_END_CAUSE_UNDO }

// offTime chooses what somebody accepts; that it is over is seen by the leader.
func offTime(c *pb.Command) bool { return c.GetAcceptTime().GetWallOffNanos() != 0 }

// kindOf is a command's kind; the empty one where this build does not know it.
func kindOf(c *pb.Command) command {
	if kind := c.ProtoReflect().WhichOneof(kinds()); kind != nil {
		return commands()[kind.Name()]
	}
	return command{}
}

// Forwarded tells whether a server that does not lead may hand a command to the
// leader. It may not hand on what is for the leader alone to decide, nor a kind
// that this build does not know.
func Forwarded(c *pb.Command) bool {
	k := kindOf(c)
	return k.forwards != nil && k.forwards(c)
}
