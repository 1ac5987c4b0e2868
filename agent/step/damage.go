package step

import (
	"context"
	"fmt"
	"time"

	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

// Damage is what could not be read of the journal and nobody has confirmed; nil
// for none. No fault begins here while it stands.
func (e *Engine) Damage() *pb.Damage { return e.now.Load().damage }

// Confirm says that somebody on the host has seen what the journal lost, if
// anything: faults may begin again.
func (e *Engine) Confirm() error {
	if err := e.runner.Confirm(""); err != nil {
		return fmt.Errorf("confirm damage: %w", err)
	}
	return e.bring(&damaged{e.runner.Damage()})
}

// diskPatience is how long the disk has to take what is in line before it is told
// to lack it.
const diskPatience = 250 * time.Millisecond

// Unrecorded is what stands and is not on disk a moment later, a line each, oldest
// first, and what the disk answered last; nil when it takes what it gets or has not
// answered.
func (e *Engine) Unrecorded(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, diskPatience)
	defer cancel()
	_ = e.runner.Recorded(ctx) // what it says is told below
	records, err := e.runner.Unrecorded()
	var lines []string
	for _, r := range records {
		lines = append(lines, undo.Text(r))
	}
	return lines, err
}

// damaged says what stands unconfirmed of the journal's damage; nil is nothing.
type damaged struct{ damage *pb.Damage }

func (n *damaged) into(c *core) {
	c.damage = n.damage
	c.told = true
}

// confirm takes up an order's word that somebody has taken note of damage. One
// that has been found since then stands.
func (c *core) confirm(id string) {
	if id != "" && id == c.damage.GetId() {
		c.do(confirming{id})
	}
}

// DamagedProblem refuses a fault on a host whose journal was damaged.
func DamagedProblem(host string, d *pb.Damage) *pb.Problem {
	what := "its content is not known"
	if len(d.GetWhat()) > 0 {
		what = d.GetWhat()[0]
	}
	return &pb.Problem{
		Refusal: pb.Refusal_REFUSAL_HOST,
		Message: fmt.Sprintf("the journal of %s was damaged and nobody has confirmed it: %s", host, what),
		Fix: fmt.Sprintf("see that nothing of an earlier fault is left there, then: squall confirm damage %s, or on that host: squall resume --local",
			host),
	}
}
