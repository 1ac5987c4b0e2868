package observe

import (
	"cmp"
	"runtime"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"squall/server/consensus"
)

// figure is what is read when somebody asks: a counter where its name ends as
// one's does, else a gauge. Read adds nothing where there is nothing to tell.
type figure struct {
	name, help string
	labels     []string
	read       func(p *picture, to sums)
}

// figures collects the table's for one server.
type figures struct{ look func() Sight }

// Describe implements prometheus.Collector.
func (f figures) Describe(ch chan<- *prometheus.Desc) {
	for _, row := range table {
		ch <- row.desc()
	}
}

// Collect implements prometheus.Collector: all values are of one moment.
func (f figures) Collect(ch chan<- prometheus.Metric) {
	p := newPicture(f.look())
	for _, row := range table {
		values := make(sums)
		row.read(p, values)
		values.send(ch, row)
	}
}

func (f figure) desc() *prometheus.Desc { return prometheus.NewDesc(f.name, f.help, f.labels, nil) }

func (f figure) kind() prometheus.ValueType {
	if strings.HasSuffix(f.name, "_total") {
		return prometheus.CounterValue
	}
	return prometheus.GaugeValue
}

// table is every figure: those of the server, and those of the state, which every
// server tells alike.
var table = slices.Concat(ofServer, ofState, ofSinks)

var ofServer = []figure{
	{"squall_build_info", "The build of this server; always 1.", []string{"version", "goversion"}, func(p *picture, to sums) {
		to.add(1, cmp.Or(p.Version, "devel"), runtime.Version())
	}},
	{"squall_server_ready", "1 while /readyz says yes: this server knows a leader and has applied what that had committed, within the lease.", nil, func(p *picture, to sums) {
		ok, _ := Ready(p.Sight)
		to.add(flag(ok))
	}},
	{"squall_server_confirmed_age_seconds", "Age of the newest question that a leader of a quorum has answered; leases are renewed on it. Not there before the first.", nil, func(p *picture, to sums) {
		if p.Ever {
			to.add(p.Confirmed.Seconds())
		}
	}},
	{"squall_raft_state", "1 for the state that this server is in.", []string{"state"}, func(p *picture, to sums) {
		for _, state := range consensus.States() {
			to.add(flag(state == p.Consensus.State), state)
		}
	}},
	{"squall_raft_term", "The Raft term that this server is in.", nil, func(p *picture, to sums) { to.add(float64(p.Consensus.Term)) }},
	{"squall_raft_commit_index", "Log index of the last entry that this server knows to be committed.", nil, func(p *picture, to sums) {
		to.add(float64(p.Consensus.Commit))
	}},
	{"squall_raft_applied_index", "Log index of the last entry handed to the machine here.", nil, func(p *picture, to sums) {
		to.add(float64(p.Consensus.Applied))
	}},
	{"squall_raft_last_index", "Log index of the last entry in the log here.", nil, func(p *picture, to sums) { to.add(float64(p.Consensus.Last)) }},
	{"squall_raft_last_contact_seconds", "How long ago this server heard of a leader; 0 on the leader. Not there before the first.", nil, func(p *picture, to sums) {
		if p.Consensus.Heard {
			to.add(p.Consensus.Contact.Seconds())
		}
	}},
	{"squall_raft_servers", "How many servers there are by the Raft configuration.", nil, func(p *picture, to sums) { to.add(float64(p.Consensus.Servers)) }},
	{"squall_raft_leader_changes_total", "How often this server has heard that somebody came to lead.", nil, func(p *picture, to sums) {
		to.add(float64(p.Consensus.Changes))
	}},
	{"squall_raft_peer_silent_seconds", "How long another server has not been heard of; on the leader alone.", []string{"peer"}, func(p *picture, to sums) {
		for peer, silent := range p.Silent {
			to.add(silent.Seconds(), peer)
		}
	}},
	{"squall_agent_sessions", "Agents that have their stream on this server, and get their leases from it.", nil, func(p *picture, to sums) { to.add(float64(p.Agents)) }},
	{"squall_clock_doubt_seconds", "How far cluster time may be off here.", nil, func(p *picture, to sums) { to.add(p.Doubt.Seconds()) }},
	{"squall_clock_ahead_seconds", "How far cluster time is ahead of the servers' wall clocks, as the leader says; negative: behind.", nil, func(p *picture, to sums) {
		to.add(p.WallOff.Seconds())
	}},
	{"squall_halt_unrecorded", "Halts that this server has heard and that are not committed: without a quorum, only it knows of them.", nil, func(p *picture, to sums) {
		to.add(float64(p.Unrecorded))
	}},
	{"squall_archive_runs", "Finished runs in the archive of this server.", nil, func(p *picture, to sums) { to.add(float64(p.Archive.Runs)) }},
	{"squall_archive_bytes", "How much the archive of this server takes on its disk.", nil, func(p *picture, to sums) { to.add(float64(p.Archive.Bytes)) }},
	{"squall_archive_lacking_runs", "Finished runs that this server could not get into its archive so far, or that are gone; those that its limits leave no room for are not counted.", nil, func(p *picture, to sums) {
		to.add(float64(p.Archive.Lacking))
	}},
	{"squall_archive_foreign_files", "Files in the archive's folder that are damaged, or no runs of it.", nil, func(p *picture, to sums) { to.add(float64(p.Archive.Foreign)) }},
}

func flag(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
