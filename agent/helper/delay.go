package helper

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
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
	l, err := armLine(lines.Bytes())
	if err != nil {
		return errors.Join(err, report.Encode(bpf.LineReport{
			Error: err.Error(), Unsupported: errors.Is(err, bpf.ErrUnsupported),
		}))
	}
	ended := make(chan error, 1)
	l.line.Beat(beatAhead)
	go func() { ended <- l.loop.run() }()
	if err := report.Encode(bpf.LineReport{}); err != nil {
		return err
	}
	err = errors.Join(answer(lines, report, l.counters), l.wiring.leave())
	l.loop.stop.Store(true)
	return errors.Join(err, <-ended, l.close())
}

// answer reports counters for each line that comes.
func answer(lines *bufio.Scanner, report *json.Encoder, counters func() (map[string]uint64, error)) error {
	for lines.Scan() {
		n, err := counters()
		if err != nil {
			return err
		}
		if err := report.Encode(bpf.LineReport{Counters: n}); err != nil {
			return err
		}
	}
	return lines.Err()
}

// readOrder decodes an order.
func readOrder(b []byte) (bpf.LineOrder, *pb.Op, error) {
	var o bpf.LineOrder
	if err := json.Unmarshal(b, &o); err != nil {
		return o, nil, fmt.Errorf("read the order: %w", err)
	}
	var op pb.Op
	if err := proto.Unmarshal(o.Op, &op); err != nil {
		return o, nil, fmt.Errorf("read the order: %w", err)
	}
	if d := time.Duration(op.GetDelayLine().GetDelayNanos()); d <= 0 {
		return o, nil, fmt.Errorf("read the order: a delay of %s holds nothing", d)
	}
	return o, &op, nil
}

// An armed delay line: what holds packets, and what leads them there.
type armed struct {
	line   *bpf.Line
	loop   *loop
	wiring *wiring
}

// armLine makes the TAP and attaches the programs between it and the host's
// interfaces.
func armLine(order []byte) (*armed, error) {
	o, op, err := readOrder(order)
	if err != nil {
		return nil, err
	}
	t, err := openTap()
	if err != nil {
		return nil, err
	}
	line, err := bpf.OpenLine(o, op, t.index)
	if err != nil {
		return nil, errors.Join(err, unix.Close(t.fd))
	}
	a := &armed{
		line:   line,
		loop:   &loop{line: line, tap: t.fd, delay: time.Duration(op.GetDelayLine().GetDelayNanos())},
		wiring: newWiring(line),
	}
	if err := a.wiring.join(); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// counters are the line's own, and what came of frames afterwards. A line of which
// a part was detached is none any more: that is an error, and it ends.
func (a *armed) counters() (map[string]uint64, error) {
	if err := a.line.Taken(); err != nil {
		return nil, err
	}
	n, err := a.line.Counters()
	if err != nil {
		return nil, err
	}
	n["stale"], n["lost"] = a.loop.stale.Load(), a.loop.lost.Load()
	return n, nil
}

// close detaches the programs, then ends the TAP.
func (a *armed) close() error { return errors.Join(a.line.Close(), unix.Close(a.loop.tap)) }
