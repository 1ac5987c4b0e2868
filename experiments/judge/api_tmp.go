package judge

import (
	"time"

	pb "squall/proto/squall/v1"
)

// Compile checks and compiles every expression of an experiment.
func Compile(e *pb.Experiment, src Source) (*Judge, []*pb.Problem) {
	return &Judge{experiment: e}, nil
}

// Steady tells whether the steady state held over the trailing stretch that
// ends at now. Without enough data it has not. An experiment without the
// section is always steady.
func (j *Judge) Steady(p *pb.Plan, r Readings, now time.Time) (bool, []*pb.Finding) { return true, nil }

// Abort is the first rule that has been true without a break for its `for`, or nil.
func (j *Judge) Abort(run *pb.Run, r Readings, now time.Time) *pb.Finding { return nil }

// Verify tells whether everything in `revert.verify` holds at now.
func (j *Judge) Verify(run *pb.Run, r Readings, now time.Time) (bool, []*pb.Finding) {
	return true, nil
}

// Verdict judges a run whose steps have all ended.
func (j *Judge) Verdict(run *pb.Run, r Readings, now time.Time) (pb.Verdict, []*pb.Finding) {
	return pb.Verdict_VERDICT_INCONCLUSIVE, nil
}

// Probes sums up what each probe of the plan measured from one instant to another.
func (j *Judge) Probes(run *pb.Run, r Readings, from, to time.Time) []*pb.ProbeReport { return nil }
