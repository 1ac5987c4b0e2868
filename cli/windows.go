package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"squall/cli/show"
	pb "squall/proto/squall/v1"
)

// windowsTime is how long a server may take to tell all windows of a run.
const windowsTime = 10 * time.Minute

// windowsTable prints each second of each probe of a run. What is printed once
// can't be taken back: a server that fails in mid-answer ends it.
func (a *app) windowsTable(ctx context.Context, c *client, r *pb.RunReport) error {
	run := r.GetSummary().GetId()
	table, err := show.NewWindows(a.stdout, r.GetSummary().GetT0UnixNanos())
	if err != nil {
		return err
	}
	told := 0
	err = c.call(ctx, windowsTime, func(ctx context.Context, control pb.ControlServiceClient) error {
		stream, err := control.Windows(ctx, &pb.WindowsRequest{Run: run})
		if err != nil {
			return err
		}
		return drain(stream.Recv, func(resp *pb.WindowsResponse) error {
			for _, w := range resp.GetWindows() {
				told++
				if err := table.Write(w); err != nil {
					return err
				}
			}
			return nil
		}, func() string { return fmt.Sprintf("the table of run %q is cut short after %d windows", run, told) })
	})
	return errors.Join(err, table.Flush())
}
