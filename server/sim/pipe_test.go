package sim

import (
	"io"
	"sync"
)

// pipe is one end of a pair of buffered pipes, as between two processes: what
// is written in one piece is one wake-up of the reader.
type pipe struct{ in, out *channel }

func newPipe() (a, b *pipe) {
	there, back := newChannel(), newChannel()
	return &pipe{in: back, out: there}, &pipe{in: there, out: back}
}

// Read implements io.Reader.
func (p *pipe) Read(b []byte) (int, error) { return p.in.read(b) }

// Write implements io.Writer.
func (p *pipe) Write(b []byte) (int, error) { return p.out.write(b) }

// Close ends both directions.
func (p *pipe) Close() error {
	p.in.close()
	p.out.close()
	return nil
}

// channel is one direction. It holds as much as is written: beats are small,
// and a reader that takes none is killed for its silence.
type channel struct {
	mu     sync.Mutex // guards all below
	filled sync.Cond
	held   []byte
	closed bool
}

func newChannel() *channel {
	c := new(channel)
	c.filled.L = &c.mu
	return c
}

func (c *channel) read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.held) == 0 && !c.closed {
		c.filled.Wait()
	}
	if c.closed {
		return 0, io.EOF
	}
	n := copy(b, c.held)
	c.held = append(c.held[:0], c.held[n:]...)
	return n, nil
}

func (c *channel) write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, io.ErrClosedPipe
	}
	c.held = append(c.held, b...)
	c.filled.Signal()
	return len(b), nil
}

func (c *channel) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.filled.Broadcast()
}
