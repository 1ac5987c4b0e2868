package fault

import pb "squall/proto/squall/v1"

// Described says whether the table of descriptions has an operation.
func Described(op *pb.Op) bool { return descriptions[armOf(op)] != nil }
