package helper

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/host/bpf"
	pb "squall/proto/squall/v1"
)

// order is a line as a worker sends it.
func order(t *testing.T, op *pb.DelayLine) string {
	t.Helper()
	b, err := proto.Marshal(&pb.Op{Kind: &pb.Op_DelayLine{DelayLine: op}})
	if err != nil {
		t.Fatal(err)
	}
	line, err := json.Marshal(bpf.LineOrder{Op: b, BootOffset: time.Second, Token: 64})
	if err != nil {
		t.Fatal(err)
	}
	return string(line) + "\n"
}

// TestWrongOrderIsRefused: the worker is told why, and the role fails.
func TestWrongOrderIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ order, says string }{
		"no JSON":       {"delay everything\n", "read the order"},
		"no operation":  {`{"Op":"/////w=="}` + "\n", "read the order"},
		"no delay":      {order(t, &pb.DelayLine{}), "a delay of 0s holds nothing"},
		"a delay ahead": {order(t, &pb.DelayLine{DelayNanos: -1}), "a delay of -1ns holds nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := delayLine(strings.NewReader(c.order), &out)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q", err, c.says)
			}
			var r bpf.LineReport
			if err := json.Unmarshal(out.Bytes(), &r); err != nil || !strings.Contains(r.Error, c.says) || r.Unsupported {
				t.Errorf("the worker hears %+v, %v", r, err)
			}
		})
	}
}

// TestOrderIsReadWhole.
func TestOrderIsReadWhole(t *testing.T) {
	want := &pb.DelayLine{DelayNanos: 5, Direction: pb.Direction_DIRECTION_BOTH, Prefix: []string{"10.0.0.0/8"}}
	o, op, err := readOrder([]byte(order(t, want)))
	if err != nil || !proto.Equal(op.GetDelayLine(), want) || o.BootOffset != time.Second || o.Token != 64 {
		t.Errorf("order %+v, operation %v, %v", o, op, err)
	}
}

// TestOrderThatIsTooLongIsAnError: and not one that is cut off.
func TestOrderThatIsTooLongIsAnError(t *testing.T) {
	err := delayLine(strings.NewReader(strings.Repeat("x", maxOrder+1)), &bytes.Buffer{})
	if !errors.Is(err, bufio.ErrTooLong) {
		t.Errorf("error %v", err)
	}
}

// TestEachLineIsAnswered: with counters as they are then, until one can't be read.
func TestEachLineIsAnswered(t *testing.T) {
	var out bytes.Buffer
	asked := uint64(0)
	gone := errors.New("the map is gone")
	err := answer(bufio.NewScanner(strings.NewReader("{}\n{}\n{}\n{}\n")), json.NewEncoder(&out),
		func() (map[string]uint64, error) {
			if asked++; asked > 3 {
				return nil, gone
			}
			return map[string]uint64{"lost": asked}, nil
		})
	if !errors.Is(err, gone) {
		t.Errorf("error %v", err)
	}
	answers := json.NewDecoder(&out)
	for want := uint64(1); want <= 3; want++ {
		var r bpf.LineReport
		if err := answers.Decode(&r); err != nil || r.Counters["lost"] != want {
			t.Errorf("answer %d: %+v, %v", want, r, err)
		}
	}
}

// TestWorkerThatHangsUpEndsTheAnswers.
func TestWorkerThatHangsUpEndsTheAnswers(t *testing.T) {
	err := answer(bufio.NewScanner(strings.NewReader("")), json.NewEncoder(&bytes.Buffer{}), nil)
	if err != nil {
		t.Error(err)
	}
}
