package sim

import (
	"io"
	"sync"
)

// pipe is one end of a pair of buffered pipes, as between two processes: what
// is written in one piece is one wake-up of the reader.
type pipe struct {
	in, out chan []byte
	rest    []byte // read by one goroutine alone
	end     *ending
}

// ending is the end of a pair.
type ending struct {
	once sync.Once
	done chan struct{}
}

func newPipe() (a, b *pipe) {
	const room = 64
	there, back, end := make(chan []byte, room), make(chan []byte, room), &ending{done: make(chan struct{})}
	return &pipe{in: back, out: there, end: end}, &pipe{in: there, out: back, end: end}
}

// Read implements io.Reader.
func (p *pipe) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		select {
		case p.rest = <-p.in:
		case <-p.end.done:
			return 0, io.EOF
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// Write implements io.Writer.
func (p *pipe) Write(b []byte) (int, error) {
	select {
	case <-p.end.done:
		return 0, io.ErrClosedPipe
	default:
	}
	select {
	case p.out <- append([]byte(nil), b...):
		return len(b), nil
	case <-p.end.done:
		return 0, io.ErrClosedPipe
	}
}

// Close ends both directions.
func (p *pipe) Close() error {
	p.end.once.Do(func() { close(p.end.done) })
	return nil
}
