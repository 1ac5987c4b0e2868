package probe

import (
	"context"
	"net"

	pb "squall/proto/squall/v1"
)

// dialTCP opens a connection and closes it.
func dialTCP(ctx context.Context, p *pb.TCPProbe) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", p.GetAddress())
	if err != nil {
		return err
	}
	return c.Close()
}
