package state

import (
	"encoding/binary"
	"slices"

	pb "squall/proto/squall/v1"
)

// chainVersion begins the bytes of every record that is hashed. Another way of
// writing them needs another version.
const chainVersion = "squall audit 1\n"

// canon is an act as bytes that never change: a version, then each field in a
// fixed order, numbers as eight bytes and texts behind their length, the highest
// byte first. A message's own bytes would do as long as nobody changes how they
// are made, which nobody promises.
func canon(r *pb.AuditRecord) []byte {
	b := []byte(chainVersion)
	b = binary.BigEndian.AppendUint64(b, r.GetIndex())
	b = binary.BigEndian.AppendUint64(b, uint64(r.GetAtUnixNanos()))
	by := r.GetBy()
	b = binary.BigEndian.AppendUint64(b, uint64(by.GetRole()))
	for _, text := range []string{
		by.GetName(), by.GetFrom(), by.GetServer(), by.GetWhy(), r.GetAct(), r.GetObject(), r.GetResult(),
	} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(text)))
		b = append(b, text...)
	}
	return slices.Clip(b)
}
