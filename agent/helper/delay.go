package helper

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/vishvananda/netlink"
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
	line, loop, err := armLine(lines.Bytes())
	if err != nil {
		return errors.Join(err, report.Encode(bpf.LineReport{
			Error: err.Error(), Unsupported: errors.Is(err, bpf.ErrUnsupported),
		}))
	}
	ended := make(chan error, 1)
	line.Beat(beatAhead)
	go func() { ended <- loop.run() }()
	if err := report.Encode(bpf.LineReport{}); err != nil {
		return err
	}
	err = answer(lines, report, line, loop)
	loop.stop.Store(true)
	return errors.Join(err, <-ended, line.Close())
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
func armLine(order []byte) (*bpf.Line, *loop, error) {
	op, offset, err := readOrder(order)
	if err != nil {
		return nil, nil, err
	}
	mark := rand.Uint32() | 1 // not 0
	line, err := bpf.OpenLine(op, bpf.LineLease, offset, mark)
	if err != nil {
		return nil, nil, err
	}
	loop := newLoop(line, time.Duration(op.GetDelayNanos()))
	if err := connect(line, loop, op.GetDirection(), mark); err != nil {
		return nil, nil, errors.Join(err, line.Close())
	}
	return line, loop, nil
}

// connect turns off the traffic of every interface by which the host itself
// speaks.
func connect(line *bpf.Line, loop *loop, way pb.Direction, mark uint32) error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, l := range links {
		if !speaks(l.Attrs()) {
			continue
		}
		if err := connectDevice(line, loop, l.Attrs(), way, mark); err != nil {
			return fmt.Errorf("interface %s: %w", l.Attrs().Name, err)
		}
	}
	return nil
}

// speaks: the parts of a bridge or a bond don't, what they are part of does.
func speaks(a *netlink.LinkAttrs) bool {
	return a.EncapType == "ether" && a.MasterIndex == 0 && !isTap(a.Name)
}

// connectDevice gives one device its TAPs and lanes.
func connectDevice(line *bpf.Line, loop *loop, a *netlink.LinkAttrs, way pb.Direction, mark uint32) error {
	var out, in tap
	var err error
	if way != pb.Direction_DIRECTION_IN {
		if out, err = openTap(a.MTU); err != nil {
			return err
		}
		back, err := openSender(a.Index, mark)
		if err != nil {
			return err
		}
		loop.add(lane{from: out.fd, to: back})
	}
	if way == pb.Direction_DIRECTION_IN || way == pb.Direction_DIRECTION_BOTH {
		if in, err = openTap(a.MTU); err != nil {
			return err
		}
		loop.add(lane{from: in.fd, to: in.fd})
	}
	return line.Connect(net.Interface{Index: a.Index, Name: a.Name}, out.index, in.index)
}
