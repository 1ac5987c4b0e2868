package fleet

import "time"

const (
	// sayRate is how much an agent may say in a second, in bytes, and sayBurst how
	// much at one time: far more than it ever has to.
	sayRate, sayBurst = 2 << 20, 8 << 20
	// sayLeast is what a message counts at least, in bytes.
	sayLeast = 1 << 10
)

// pace says how fast an agent may go on: what it says becomes commands, and one
// that floods would fill the log of all servers. It is read no faster than that,
// which slows down itself alone. Its zero value is ready; it is for one goroutine.
type pace struct {
	free time.Time // when all that was said is paid for
}

// wait is how long to wait before the next message, after one of so many bytes.
func (p *pace) wait(bytes int, now time.Time) time.Duration {
	const burst = time.Second * sayBurst / sayRate
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Second * time.Duration(max(bytes, sayLeast)) / sayRate)
	return p.free.Sub(now) - burst
}
