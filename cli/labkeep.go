package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protojson"

	"squall/cli/lab"
	pb "squall/proto/squall/v1"
)

// keepRun writes what is known of the lab's last run into a folder: the report
// for people and for programs, the events, and the logs of all hosts. Without a
// run there are only the logs.
func (a *app) keepRun(ctx context.Context, folder lab.Folder, dir string) error {
	if err := errors.Join(a.keepReport(ctx, dir), folder.CopyLogs(filepath.Join(dir, "logs"))); err != nil {
		return fmt.Errorf("keep the run in %s: %w", dir, err)
	}
	fmt.Fprintln(a.stderr, "report, events and logs are in", escape(dir))
	return nil
}

func (a *app) keepReport(ctx context.Context, dir string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.close()
	run, err := lastRun(ctx, c)
	if err != nil {
		return nil // it was refused before it began, as has been said
	}
	report, err := c.report(ctx, run)
	if err != nil {
		return err
	}
	return writeReport(report, dir)
}

// writeReport writes a report in its three forms, over those of an earlier run.
func writeReport(report *pb.RunReport, dir string) error {
	var text, events bytes.Buffer
	(&reportText{out: &text, report: report, wide: true}).print()
	for _, e := range report.GetEvents() {
		line, err := protojson.Marshal(e)
		if err != nil {
			return err
		}
		events.Write(append(line, '\n'))
	}
	whole, err := protojson.MarshalOptions{Multiline: true}.Marshal(report)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "report.txt"), text.Bytes(), 0o644),
		os.WriteFile(filepath.Join(dir, "report.json"), append(whole, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, "events.jsonl"), events.Bytes(), 0o644),
	)
}
