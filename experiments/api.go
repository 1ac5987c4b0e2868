package experiments

import (
	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// Decode reads an experiment.
func Decode(file string, src []byte) (*pb.Experiment, Source, Problems) {
	return nil, Source{file: file}, nil
}

// DecodeFleet reads a fleet file.
func DecodeFleet(file string, src []byte) (*pb.Fleet, Problems) { return nil, nil }

// DecodeHostConfig reads a host's config.
func DecodeHostConfig(file string, src []byte) (*pb.HostConfig, Problems) { return nil, nil }

// DecodeLab reads a lab file.
func DecodeLab(file string, src []byte) (*pb.Lab, Problems) { return nil, nil }

// Explain describes the field at path: "experiment.timeline.faults.power.off.back".
func Explain(path string) (string, error) { return "", nil }

// SetField sets one field of a message from the text of a flag.
func SetField(msg proto.Message, path, text string) error { return nil }

// Flag is a leaf of a message, as a flag of the command line.
type Flag struct {
	// Name is the field's path: "to.zone".
	Name string
	// Usage is the first sentence of the field's comment.
	Usage string
	// Default is the text that applies when the flag is left out; empty for none.
	Default string
	// Repeated flags may be given more than once.
	Repeated bool
	// Bool flags may stand without a value.
	Bool bool
}

// Flags are the leaves of a message, in the order of the proto.
func Flags(msg proto.Message) []Flag { return nil }

// Defaults lists the defaults that apply to an experiment, as "guardrails.lease = 10s".
func Defaults(e *pb.Experiment) []string { return nil }

// WithDefaults is a copy of the experiment with the defaults filled in.
func WithDefaults(e *pb.Experiment) *pb.Experiment { return proto.CloneOf(e) }
