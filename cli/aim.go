package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"squall/cli/lab"
	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// leaderZone stands, in --aim ROLE=leader, for the zone of the control plane's
// leader. Whatever role has that zone in the file gets ROLE's in exchange.
const leaderZone = "leader"

const aimUsage = "give a role of the file other zones: dark=zone-c; dark=leader is the zone of the control plane's leader"

// parseAim reads ROLE=ZONE,ZONE, one role a flag.
func parseAim(texts []string) (map[string]*pb.ZoneRole, error) {
	aim := map[string]*pb.ZoneRole{}
	for _, text := range texts {
		role, zones, ok := strings.Cut(text, "=")
		if !ok || role == "" || zones == "" {
			return nil, usagef("--aim %s: want ROLE=ZONE, as in dark=zone-c", text)
		}
		if _, more, two := strings.Cut(zones, "="); two {
			return nil, usagef("--aim %s: give the flag twice, once for each role; the second ends in =%s", text, more)
		}
		if aim[role] != nil {
			return nil, usagef("--aim %s: role %q is aimed twice; write its zones as %s=zone-a,zone-b", text, role, role)
		}
		var list listFlag
		if err := list.Set(zones); err != nil {
			return nil, usage(fmt.Errorf("--aim %s: %w", text, err))
		}
		aim[role] = &pb.ZoneRole{Zone: list}
	}
	return aim, nil
}

// roleOfLeader is the role that is aimed at the leader's zone; empty is none.
func roleOfLeader(aim map[string]*pb.ZoneRole) string {
	for role, zones := range aim {
		if slices.Equal(zones.GetZone(), []string{leaderZone}) {
			return role
		}
	}
	return ""
}

// aimAtLeader puts the leader's zone in the place of its name. Other roles keep
// what they were aimed at.
func aimAtLeader(ctx context.Context, c *client, req *pb.RunRequest) error {
	role := roleOfLeader(req.GetAim())
	if role == "" {
		return nil
	}
	zone, err := zoneOfLeader(ctx, c)
	if err != nil {
		return err
	}
	aim := exchange(req.GetExperiment().GetZones(), role, zone)
	delete(req.Aim, role)
	maps.Copy(aim, req.GetAim())
	req.Aim = aim
	return nil
}

// exchange gives role the zone, and role's first zone to whoever had it.
func exchange(roles map[string]*pb.ZoneRole, role, zone string) map[string]*pb.ZoneRole {
	aim := map[string]*pb.ZoneRole{role: {Zone: []string{zone}}}
	old := roles[role].GetZone()
	for other, zones := range roles {
		if other == role || len(old) == 0 {
			continue
		}
		list := slices.Clone(zones.GetZone())
		if i := slices.Index(list, zone); i >= 0 {
			list[i] = old[0]
			aim[other] = &pb.ZoneRole{Zone: list}
		}
	}
	return aim
}

// zoneOfLeader is where the leader's own host is.
func zoneOfLeader(ctx context.Context, c *client) (string, error) {
	st, err := askWhole[pb.Status](ctx, c, pb.ControlServiceClient.Status, &pb.StatusRequest{})
	if err != nil {
		return "", err
	}
	if st.GetLeader() == "" {
		return "", &exitError{experiments.ExitUnreachable, errors.New("aim at the leader: there is none")}
	}
	resp, err := ask(ctx, c, pb.ControlServiceClient.GetHost, &pb.GetHostRequest{Host: st.GetLeader()})
	if err != nil {
		return "", fmt.Errorf("aim at the leader: find the zone of its own host: %w", err)
	}
	return resp.GetHost().GetHost().GetZone(), nil
}

// ownZone is the role of the zone whose servers an experiment aims at: losing
// the zone of the leader is what it is about. Empty for most experiments.
func ownZone(e *pb.Experiment) string {
	for _, t := range e.GetTargets() {
		if !slices.Contains(t.GetRole(), lab.ServerRole) {
			continue
		}
		for _, zone := range t.GetZone() {
			if e.GetZones()[zone] != nil {
				return zone
			}
		}
	}
	return ""
}
