package helper

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/host/bpf"
	pb "squall/proto/squall/v1"
)

// maxOrder bounds an order: 100,000 prefixes are about 4 MB.
const maxOrder = 16 << 20

// delayLine takes its order from in, answers each line, and holds packets
// until in closes.
func delayLine(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxOrder)
	if !lines.Scan() {
		return errors.Join(errors.New("no order came"), lines.Err())
	}
	report := json.NewEncoder(out)
	w, err := armLine(lines.Bytes())
	if err != nil {
		return errors.Join(err, report.Encode(bpf.LineReport{
			Error: err.Error(), Unsupported: errors.Is(err, bpf.ErrUnsupported),
		}))
	}
	ended := make(chan error, 1)
	w.line.Beat(beatAhead)
	go func() { ended <- w.loop.run() }()
	if err := report.Encode(bpf.LineReport{}); err != nil {
		return err
	}
	err = errors.Join(answer(lines, report, w.line, w.loop), w.leave())
	w.loop.stop.Store(true)
	return errors.Join(err, <-ended, w.line.Close())
}

// answer reports counters for each line that comes.
func answer(lines *bufio.Scanner, report *json.Encoder, line *bpf.Line, loop *loop) error {
	for lines.Scan() {
		n, err := line.Counters()
		if err != nil {
			return err
		}
		n["stale"], n["lost"] = loop.stale.Load(), loop.lost.Load()
		if err := report.Encode(bpf.LineReport{Counters: n}); err != nil {
			return err
		}
	}
	return lines.Err()
}

// readOrder decodes an order.
func readOrder(b []byte) (*pb.DelayLine, time.Duration, error) {
	var o bpf.LineOrder
	if err := json.Unmarshal(b, &o); err != nil {
		return nil, 0, fmt.Errorf("read the order: %w", err)
	}
	var op pb.DelayLine
	if err := proto.Unmarshal(o.Op, &op); err != nil {
		return nil, 0, fmt.Errorf("read the order: %w", err)
	}
	return &op, o.BootOffset, nil
}

// armLine makes the TAPs and attaches the programs between them and the
// host's interfaces.
func armLine(order []byte) (*wiring, error) {
	op, offset, err := readOrder(order)
	if err != nil {
		return nil, err
	}
	mark := rand.Uint32() | 1 // not 0
	line, err := bpf.OpenLine(op, bpf.LineLease, offset, mark)
	if err != nil {
		return nil, err
	}
	w := newWiring(line, time.Duration(op.GetDelayNanos()), op.GetDirection(), mark)
	if err := w.join(); err != nil {
		return nil, errors.Join(err, line.Close())
	}
	return w, nil
}
