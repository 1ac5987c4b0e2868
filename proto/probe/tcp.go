package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	pb "squall/proto/squall/v1"
)

// maxAnswer is how much of an answer `expect` is looked for in.
const maxAnswer = 4 << 10

// dialTCP opens a connection, has the exchange that the probe asks for, and
// closes it.
func dialTCP(ctx context.Context, p *pb.TCPProbe) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", p.GetAddress())
	if err != nil {
		return err
	}
	defer c.Close()
	// Whatever ends the attempt ends what waits on the connection.
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if _, err := io.WriteString(c, p.GetSend()); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if p.GetExpect() == "" {
		return nil
	}
	return expect(c, []byte(p.GetExpect()))
}

// expect reads until the text has come.
func expect(c io.Reader, text []byte) error {
	var answer []byte
	for buf := make([]byte, maxAnswer); ; {
		n, err := c.Read(buf[:maxAnswer-len(answer)])
		answer = append(answer, buf[:n]...)
		switch {
		case bytes.Contains(answer, text):
			return nil
		case errors.Is(err, io.EOF) || len(answer) == maxAnswer:
			return fmt.Errorf("expect %q: the answer is %.80q", text, answer)
		case err != nil:
			return fmt.Errorf("expect %q after %.80q: %w", text, answer, err)
		}
	}
}
