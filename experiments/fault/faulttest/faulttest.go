// Package faulttest gives tests one fault of every kind, so that what must
// hold for all of them is tried for a new one too.
package faulttest

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"squall/experiments"
	"squall/experiments/fault"
	pb "squall/proto/squall/v1"
)

// All are the kinds that this build can inject, by name, each with nothing but
// its required keys, as the protos give examples of them.
func All(t testing.TB) map[string]*pb.Fault {
	t.Helper()
	all := map[string]*pb.Fault{}
	for _, name := range fault.Names() {
		all[name] = Example(t, name)
	}
	return all
}

// Example is a fault of a kind with nothing but its required keys.
func Example(t testing.TB, kind string) *pb.Fault {
	t.Helper()
	f, ok := fault.New(kind)
	if !ok {
		t.Fatalf("there is no fault %s", kind)
	}
	body := fault.Body(f)
	fields := body.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if !proto.GetExtension(fd.Options(), pb.E_Required).(bool) {
			continue
		}
		text := proto.GetExtension(fd.Options(), pb.E_Example).(string)
		if err := experiments.SetField(body, string(fd.Name()), text); err != nil {
			t.Fatalf("%s needs %s, and its example says: %v", kind, fd.Name(), err)
		}
	}
	return f
}
