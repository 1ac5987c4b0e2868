package server

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"squall/proto/probe"
	pb "squall/proto/squall/v1"
)

// TestAnswerOfManyAttemptsIsTaken has a server answer with more than one message holds.
func TestAnswerOfManyAttemptsIsTaken(t *testing.T) {
	r := newRegion(t)
	telling := r.servers[0]
	r.kill(telling)
	telling.cfg.Attempt = func(context.Context, *pb.PlannedProbe) probe.Reading {
		return probe.Reading{Err: strings.Repeat("x", 10_000)}
	}
	r.start(telling)
	probes := make([]*pb.PlannedProbe, 500)
	for i := range probes {
		probes[i] = &pb.PlannedProbe{Name: "shop", Control: true, Probe: &pb.Probe{Timeout: &pb.Span{Nanos: int64(longestTry)}}}
	}
	ctx := within(t, enough)
	r.answers(ctx, r.servers[1], "a")
	for _, tried := range r.servers[1].tryEverywhere(ctx, probes) {
		if at := tried.GetAttempts()[0]; at.GetServer() != "a" || at.GetMissing() {
			t.Fatalf("an attempt came as %v", at)
		}
	}
}

// answers waits until a server that has just started answers another one, which
// may still rest after a dial that failed.
func (r *region) answers(ctx context.Context, asking *unit, id string) {
	r.t.Helper()
	probes := []*pb.PlannedProbe{{Name: "shop", Control: true, Probe: &pb.Probe{Timeout: &pb.Span{Nanos: int64(time.Second)}}}}
	r.wait("an answer of "+id, func() bool {
		return slices.ContainsFunc(asking.tryEverywhere(ctx, probes)[0].GetAttempts(), func(a *pb.Attempt) bool {
			return a.GetServer() == id && !a.GetMissing()
		})
	})
}

// TestManyPlansThatTryProbesHoldUpNothing asks a server for more attempts at one
// time than a connection has streams, of which none ends.
func TestManyPlansThatTryProbesHoldUpNothing(t *testing.T) {
	r := newRegion(t)
	busy := r.servers[0]
	r.kill(busy)
	asked := make(chan struct{}, 2*maxStreams)
	busy.cfg.Attempt = func(ctx context.Context, _ *pb.PlannedProbe) probe.Reading {
		asked <- struct{}{}
		<-ctx.Done()
		return probe.Reading{Err: "timed out"}
	}
	r.start(busy)
	ctx := within(t, enough)
	probes := []*pb.PlannedProbe{{Name: "shop", Control: true, Probe: &pb.Probe{Timeout: &pb.Span{Nanos: int64(longestTry)}}}}
	for range 2 * maxStreams {
		go r.servers[1].tryEverywhere(ctx, probes)
	}
	for range maxStreams {
		<-asked // the line is full
	}
	r.servers[1].peers.each(ctx, words, longestTry/2, func(ctx context.Context, _ string, peer pb.PeerServiceClient) {
		if _, err := peer.Confirm(ctx, &pb.ConfirmRequest{Server: "b"}); err != nil {
			t.Errorf("no word while plans try their probes: %v", err)
		}
	})
}
