package state

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	pb "squall/proto/squall/v1"
)

const (
	// maxExperiments is how many files are kept by name.
	maxExperiments = 1000
	// maxVersions is how many versions a file has. Of more, the oldest goes that
	// no schedule pins.
	maxVersions = 20
	// maxSource is how many bytes a file has, and maxSources all of them together.
	maxSource, maxSources = 1 << 20, 8 << 20
)

// Experiments are the files that are kept, by name.
func (v *View) Experiments() []*pb.KeptExperiment { return byName(v.experiments) }

// Experiment is a file by its name, nil when it is not kept.
func (v *View) Experiment(name string) *pb.KeptExperiment { return v.experiments[name] }

func byName[V any](m map[string]V) (all []V) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[name])
	}
	return all
}

// PinnedBy are the schedules that pin a version of a file, by name; those that
// pin any where the digest is empty.
func (v *View) PinnedBy(name, digest string) (schedules []string) {
	for _, s := range v.Schedules() {
		if p := s.GetPin(); p.GetExperiment() == name && name != "" && (digest == "" || p.GetDigest() == digest) {
			schedules = append(schedules, s.GetName())
		}
	}
	return schedules
}

// Digest names what stands in a file: SHA-256, in hex.
func Digest(source []byte) string {
	sum := sha256.Sum256(source)
	return hex.EncodeToString(sum[:])
}

// version is a version of a file by its whole digest, nil when it is not kept.
func (v *View) version(pin *pb.Pin) *pb.ExperimentVersion {
	for _, k := range v.experiments[pin.GetExperiment()].GetVersions() {
		if k.GetDigest() == pin.GetDigest() {
			return k
		}
	}
	return nil
}

// putExperiment keeps a file as the newest version of its name. What is the
// newest already stays as it is.
func (t *change) putExperiment(c *pb.PutExperiment) *pb.Problem {
	name, source := c.GetName(), c.GetSource()
	if p := t.keepable(name, source); p != nil {
		return p
	}
	known, digest := t.experiments[name].GetVersions(), Digest(source)
	if n := len(known); n > 0 && known[n-1].GetDigest() == digest {
		return nil
	}
	versions := slices.DeleteFunc(slices.Clone(known), func(v *pb.ExperimentVersion) bool { return v.GetDigest() == digest })
	if len(versions) >= maxVersions {
		oldest := slices.IndexFunc(versions, func(v *pb.ExperimentVersion) bool { return len(t.PinnedBy(name, v.GetDigest())) == 0 })
		if oldest < 0 {
			return refuse(pb.Refusal_REFUSAL_GUARDRAIL, "let some schedules be of the same version", "all %d versions of experiment %q are pinned by schedules", maxVersions, name)
		}
		versions = slices.Delete(versions, oldest, oldest+1)
	}
	own(t, &t.experiments)
	t.experiments[name] = &pb.KeptExperiment{Name: name, Versions: append(versions, &pb.ExperimentVersion{
		Digest: digest, Source: source, By: t.cmd.GetBy(), PutUnixNanos: t.last, DueNanos: c.GetDueNanos(),
	})}
	if t.sources() > maxSources {
		return refuse(pb.Refusal_REFUSAL_GUARDRAIL, "remove some with: squall experiment remove NAME@DIGEST", "the files that are kept would have more than %d bytes", maxSources)
	}
	return nil
}

func (t *change) keepable(name string, source []byte) *pb.Problem {
	switch {
	case !GoodName(name):
		return refuse(pb.Refusal_REFUSAL_INVALID, "choose a short one of plain letters", "the experiment's name %q can't be one", name)
	case len(source) == 0 || len(source) > maxSource:
		return refuse(pb.Refusal_REFUSAL_INVALID, "write an experiment", "a file of %d bytes is not kept: it has 1 to %d", len(source), maxSource)
	case t.experiments[name] == nil && len(t.experiments) >= maxExperiments:
		return refuse(pb.Refusal_REFUSAL_GUARDRAIL, "remove one with: squall experiment remove NAME", "%d experiments are kept, the most that may be", maxExperiments)
	}
	return nil
}

// sources is how many bytes all kept files have.
func (v *View) sources() (bytes int) {
	for _, k := range v.experiments {
		for _, version := range k.GetVersions() {
			bytes += len(version.GetSource())
		}
	}
	return bytes
}

// removeExperiment drops a version, or all of them, unless a schedule pins it.
func (t *change) removeExperiment(c *pb.RemoveExperiment) *pb.Problem {
	name, digest := c.GetName(), c.GetDigest()
	if t.experiments[name] == nil || digest != "" && t.version(&pb.Pin{Experiment: name, Digest: digest}) == nil {
		return NoExperiment(name, digest)
	}
	if pinned := t.PinnedBy(name, digest); len(pinned) > 0 {
		return refuse(pb.Refusal_REFUSAL_GUARDRAIL, "remove that first with: squall schedule remove "+pinned[0], "experiment %q is pinned by schedule %s", at(name, digest), few(pinned))
	}
	rest := slices.DeleteFunc(slices.Clone(t.experiments[name].GetVersions()), func(v *pb.ExperimentVersion) bool {
		return digest == "" || v.GetDigest() == digest
	})
	own(t, &t.experiments)
	if len(rest) == 0 {
		delete(t.experiments, name)
		return nil
	}
	t.experiments[name] = &pb.KeptExperiment{Name: name, Versions: rest}
	return nil
}

// NoExperiment refuses a version that is not kept.
func NoExperiment(name, digest string) *pb.Problem {
	return refuse(pb.Refusal_REFUSAL_UNKNOWN, "see them with: squall experiment list", "there is no experiment %q", at(name, digest))
}

// at is a version as people write it.
func at(name, digest string) string {
	if digest == "" {
		return name
	}
	return fmt.Sprintf("%s@%.12s", name, digest) // letters: what a caller sends as a digest may be anything
}

// pin is the version that a schedule which is put is of, and what stands in it.
// A file that it brings is kept first.
func (t *change) pin(c *pb.PutSchedule) (*pb.Pin, []byte, *pb.Problem) {
	pin := c.GetPin()
	if pin == nil {
		if len(c.GetSource()) == 0 {
			return nil, nil, nil
		}
		pin = &pb.Pin{Experiment: c.GetExperiment().GetName(), Digest: Digest(c.GetSource())}
		if p := t.putExperiment(&pb.PutExperiment{
			Name: pin.GetExperiment(), Source: c.GetSource(), DueNanos: c.GetExperiment().GetDue().GetNanos(),
		}); p != nil {
			return nil, nil, p
		}
	}
	version := t.version(pin)
	if version == nil {
		return nil, nil, NoExperiment(pin.GetExperiment(), pin.GetDigest())
	}
	return pin, version.GetSource(), nil
}
