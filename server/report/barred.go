package report

import (
	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// Barred are the hosts on which nothing is injected until somebody has seen to
// them, by name: two machines say that they are the host, or its journal was
// damaged.
func Barred(v *state.View) (all []*pb.BarredHost) {
	for _, h := range v.Hosts() {
		b := &pb.BarredHost{Host: h.GetHost().GetName(), Damage: h.GetDamage()}
		if state.Conflicted(h, v.Now().UnixNano()) {
			b.Conflict = h.GetConflict()
		}
		if b.GetDamage() != nil || b.GetConflict() != nil {
			all = append(all, b)
		}
	}
	return all
}
