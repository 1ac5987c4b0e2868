package fleet

import pb "squall/proto/squall/v1"

// maxDamage is how many lines an agent may say of its journal's damage.
const maxDamage = 16

// standing is damage as the registry keeps it: cut to what anybody will read, nil
// where none stands.
func standing(d *pb.Damage) *pb.Damage {
	if d == nil || d.GetConfirmed() {
		return nil
	}
	what := lines(d.GetWhat())
	return &pb.Damage{
		Id: clip(d.GetId()), What: what[:min(len(what), maxDamage)], SinceUnixNanos: d.GetSinceUnixNanos(),
	}
}

// takeDamage takes what stands now of the damage of a host's journal.
func (s *session) takeDamage(d *pb.Damage) {
	s.mu.Lock()
	s.hello.Damage = standing(d)
	standby := s.hello.GetStandby()
	s.mu.Unlock()
	if !standby {
		s.fleet.announce(s)
	}
}
