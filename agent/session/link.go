package session

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"

	pb "squall/proto/squall/v1"
)

const (
	// welcomeWithin is how long a server has to answer Hello.
	welcomeWithin = 2 * time.Second
	// queued is how many messages may wait for a slow stream.
	queued = 64
)

// Dial opens a connection to a server's agent door: host:port or unix:PATH.
type Dial func(address string) (*grpc.ClientConn, error)

// link is a stream to one server.
type link struct {
	address string
	out     chan *pb.SessionRequest
	cancel  context.CancelFunc
	// patience cancels a link whose server does not answer Hello.
	patience *time.Timer
	// Owned by the session's goroutine.
	welcome bool
	// sent and answered count pings.
	sent, answered uint64
	// unrenewed counts pongs in a row that renewed nothing.
	unrenewed int
	// damage is the id of the journal's damage that the server was told of.
	damage string
}

// heard is news from a link: a message, or its end.
type heard struct {
	link *link
	at   time.Duration
	msg  *pb.SessionResponse
	err  error
}

// send queues a message. It says false when the stream is stuck.
func (l *link) send(m *pb.SessionRequest) bool {
	select {
	case l.out <- m:
		return true
	default:
		return false
	}
}

// runLink dials, says hello, and passes on what it hears until the link ends. The
// last news is its error.
func (s *Session) runLink(ctx context.Context, l *link, hello *pb.Hello) {
	defer l.cancel()
	defer l.patience.Stop()
	err := s.talk(ctx, l, hello)
	s.tell(heard{link: l, err: err})
}

// tell passes news on; when the session is closing, nobody listens any more.
func (s *Session) tell(h heard) {
	select {
	case s.news <- h:
	case <-s.closing:
	}
}

func (s *Session) talk(ctx context.Context, l *link, hello *pb.Hello) error {
	conn, err := s.dial(l.address)
	if err != nil {
		return fmt.Errorf("dial %s: %w", l.address, err)
	}
	defer conn.Close()
	stream, err := pb.NewAgentServiceClient(conn).Session(ctx)
	if err != nil {
		return fmt.Errorf("open session with %s: %w", l.address, err)
	}
	if err := stream.Send(&pb.SessionRequest{Kind: &pb.SessionRequest_Hello{Hello: hello}}); err != nil {
		return fmt.Errorf("greet %s: %w", l.address, err)
	}
	var sender sync.WaitGroup
	defer sender.Wait()
	defer l.cancel()
	sender.Go(func() { l.sendAll(ctx, stream) })
	for {
		msg, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("hear %s: %w", l.address, err)
		}
		s.tell(heard{link: l, at: s.boot(), msg: msg})
	}
}

// sendAll sends what is queued until the stream breaks.
func (l *link) sendAll(ctx context.Context, stream grpc.BidiStreamingClient[pb.SessionRequest, pb.SessionResponse]) {
	defer l.cancel()
	for {
		select {
		case m := <-l.out:
			if stream.Send(m) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
