package session

import (
	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// key names a step.
type key struct{ run, step string }

// report sends the statuses that have changed, or all that are not confirmed.
func (s *Session) report(all bool) {
	if s.active == nil || !s.active.welcome {
		return
	}
	s.needSets()
	s.tellDamage()
	var steps []*pb.StepStatus
	known := map[key]*pb.StepStatus{}
	for _, status := range s.engine.Statuses() {
		k := key{status.GetRun(), status.GetStep()}
		known[k] = status
		if all || !proto.Equal(known[k], s.reported[k]) {
			steps = append(steps, status)
		}
	}
	s.reported = known
	for _, part := range inParts(steps) {
		s.say(&pb.SessionRequest{Kind: &pb.SessionRequest_Report{Report: part}})
	}
}

// maxReport bounds a report of more than one step, in bytes: a message that is
// larger than a server takes ends the stream, and would again after each dial.
const maxReport = 256 << 10

// inParts makes reports of statuses, as few as may be.
func inParts(steps []*pb.StepStatus) (parts []*pb.Report) {
	room := 0
	for _, status := range steps {
		size := proto.Size(status)
		if len(parts) == 0 || size > room {
			parts, room = append(parts, &pb.Report{}), maxReport
		}
		last := parts[len(parts)-1]
		last.Steps = append(last.Steps, status)
		room -= size
	}
	return parts
}

// tellDamage says what stands of the journal's damage, where the server in use
// was told otherwise.
func (s *Session) tellDamage() {
	damage := s.engine.Damage()
	if damage.GetId() == s.active.damage {
		return
	}
	s.active.damage = damage.GetId()
	if damage == nil {
		damage = &pb.Damage{Confirmed: true}
	}
	s.say(&pb.SessionRequest{Kind: &pb.SessionRequest_Damage{Damage: damage}})
}

func (s *Session) sendWindows() {
	if s.active == nil || !s.active.welcome {
		return
	}
	if batch := s.windows.next(s.boot()); batch != nil {
		s.say(&pb.SessionRequest{Kind: &pb.SessionRequest_Windows{Windows: batch}})
	}
}
