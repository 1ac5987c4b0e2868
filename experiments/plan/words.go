package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// shuffled puts names in an order that depends on the seed, on what it is for
// and on each name alone: other names come and go without changing it.
func shuffled(seed uint64, salt string, names []string) []string {
	rank := make(map[string][]byte, len(names))
	for _, name := range names {
		text := binary.BigEndian.AppendUint64(nil, seed)
		sum := sha256.Sum256(append(text, salt+"\x00"+name...))
		rank[name] = sum[:]
	}
	order := slices.Clone(names)
	slices.SortFunc(order, func(a, b string) int {
		return cmp.Or(slices.Compare(rank[a], rank[b]), cmp.Compare(a, b))
	})
	return order
}

// digest is over the experiment, with aim and seed, and over what it was
// resolved to. What the registry says of hosts that take no part is left out.
func digest(e *pb.Experiment, p *pb.Plan) string {
	sum := sha256.New()
	resolved := &pb.Plan{Steps: p.GetSteps(), Probes: p.GetProbes(), AddressSets: p.GetAddressSets(), LeaseNanos: p.GetLeaseNanos()}
	for _, part := range []proto.Message{e, resolved} {
		// Messages made of our own types always marshal.
		text, _ := proto.MarshalOptions{Deterministic: true}.Marshal(part)
		sum.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		sum.Write(text)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func quoted(text string) string { return strconv.Quote(text) }

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// some names the first of a list and counts the rest, with the verb that follows.
func some(names []string) string {
	switch n := len(names); {
	case n == 1:
		return names[0] + " is"
	case n <= 3:
		return strings.Join(names, ", ") + " are"
	default:
		return fmt.Sprintf("%s and %d others are", strings.Join(names[:2], ", "), n-2)
	}
}
