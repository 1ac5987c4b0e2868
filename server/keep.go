package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	pb "squall/proto/squall/v1"
	"squall/server/archive"
	"squall/server/observe"
	"squall/server/report"
	"squall/server/state"
)

const (
	// keepEvery is how often a server looks for runs to seal, archive and prune.
	keepEvery = time.Second
	// keepAgain is how long after a failure it tries again.
	keepAgain = 30 * time.Second
	// rescanEvery is how often it looks whether its files are still there.
	rescanEvery = time.Hour
	// mostKept is how many runs one command tells of.
	mostKept = 64
)

// keeper takes finished runs from the state into this server's archive. Nothing
// waits for it: where its disk is full or broken, runs go on, and what the
// archive lacks is told.
type keeper struct {
	server  *Server
	archive *archive.Archive // nil where there is none
	limits  archive.Limits
	log     *slog.Logger

	verifying singleflight.Group

	mu      sync.Mutex       // guards failing and broken
	failing map[string]error // by run: why it is not here
	broken  error            // why the folder can't be read
}

func newKeeper(s *Server) *keeper {
	k := &keeper{server: s, limits: s.cfg.Archive, log: s.log}
	if k.limits == (archive.Limits{}) {
		k.limits = archive.DefaultLimits
	}
	if s.cfg.Dir != "" {
		k.archive = archive.New(filepath.Join(s.cfg.Dir, "archive"))
		k.rescan()
	}
	return k
}

// seal lets runs that are done change no more, for a term. It is the leader's.
func (k *keeper) seal(ctx context.Context) {
	if k.archive == nil {
		return
	}
	k.each(ctx, func() {
		view := k.server.machine.View()
		cmd := &pb.SealRuns{}
		for _, r := range view.ToSeal(k.server.now()) {
			if len(cmd.Runs) < mostKept {
				cmd.Runs = append(cmd.Runs, report.Sealed(view, r))
			}
		}
		if len(cmd.Runs) == 0 {
			return
		}
		_, err := own{k.server}.Propose(ctx, &pb.Command{Id: "seal/" + rand.Text(), Kind: &pb.Command_SealRuns{SealRuns: cmd}})
		if err != nil && ctx.Err() == nil {
			k.log.Debug("runs are not sealed yet", "cause", err)
		}
	})
}

// each calls look from time to time, until ctx ends.
func (k *keeper) each(ctx context.Context, look func()) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			look()
		case <-ctx.Done():
			return
		}
	}
}

// keep archives what is sealed, fetches what this server lacks, and prunes,
// until ctx ends.
func (k *keeper) keep(ctx context.Context) error {
	if k.archive == nil {
		return nil
	}
	var seen *state.View
	var again time.Time
	rescan := time.Now().Add(rescanEvery)
	k.each(ctx, func() {
		view := k.server.machine.View()
		if seen != nil && view.SameArchive(seen) && time.Now().Before(again) {
			return
		}
		if time.Now().After(rescan) || k.isBroken() {
			rescan = time.Now().Add(rescanEvery)
			k.rescan()
		}
		seen, again = view, time.Now().Add(keepAgain)
		k.prune()
		if !k.tell(ctx, k.look(ctx, view)) {
			seen = nil // there is more to do, or to say again
		}
	})
	return nil
}

// rescan finds out what has become of the folder, and logs what is wrong in it.
func (k *keeper) rescan() {
	err := k.archive.Rescan()
	if err != nil {
		k.log.Error("finished runs are not archived here; the folder is tried again", "cause", err)
	}
	for _, f := range k.archive.Strangers() {
		k.log.Error("a file of the archive is no run", "file", f.File, "cause", f.Err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.broken = err
}

func (k *keeper) isBroken() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.broken != nil
}

// sight is what those who watch see of the archive.
func (k *keeper) sight() (a observe.Archive) {
	if k.archive == nil {
		return a
	}
	a.Runs, a.Bytes, a.Foreign = k.archive.Size()
	k.mu.Lock()
	defer k.mu.Unlock()
	a.Lacking = len(k.failing)
	return a
}

// look archives what is not here, and returns what this server has to say of it.
func (k *keeper) look(ctx context.Context, view *state.View) []*pb.Kept {
	var news []*pb.Kept
	var full error
	failing := make(map[string]error)
	lines := view.AllArchived()
	crowded := k.crowded(lines)
	for _, a := range lines {
		if ctx.Err() != nil || len(news) == mostKept {
			break
		}
		run, listed := a.GetSummary().GetId(), slices.Contains(a.GetServers(), k.server.id)
		e, err := k.take(ctx, view, a, cmp.Or(crowded[run], full))
		switch {
		case err == nil && !listed:
			news = append(news, &pb.Kept{Run: run, Digest: e.Digest, Bytes: uint64(e.Bytes), Windows: e.Seal.GetWindows()})
		case err != nil && listed:
			news = append(news, &pb.Kept{Run: run, Gone: true})
		}
		if err != nil && !errors.Is(err, errNoRoom) {
			failing[run] = err
		}
		if errors.Is(err, archive.ErrDisk) {
			full = err // nor is there room for what others have
		}
	}
	k.note(failing)
	return news
}

// note remembers what could not be archived, and logs what is new of it.
func (k *keeper) note(failing map[string]error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for run, err := range failing {
		if k.failing[run] == nil {
			k.log.Error("a finished run is not in the archive; it is tried again", "run", run, "cause", err)
		}
	}
	k.failing = failing
}

var (
	// errNoRoom: the limits of this archive are for newer runs.
	errNoRoom = errors.New("the limits of the archive leave no room for it")
	// errNowhere: nobody has the run any more.
	errNowhere = errors.New("no server has it any more")
)

// take is a run's entry in this archive, where it is put if it can be had. Where
// barred says why not, others are not asked for it.
func (k *keeper) take(ctx context.Context, view *state.View, a *pb.Archived, barred error) (archive.Entry, error) {
	run := a.GetSummary().GetId()
	if a.GetPruned() {
		return archive.Entry{}, errors.Join(errNoRoom, k.archive.Remove(run))
	}
	if e, err := k.own(a); err == nil || !errors.Is(err, archive.ErrUnknown) {
		return e, err
	}
	if r := view.Run(run); r != nil && !a.GetReleased() { // a new run makes room for itself
		_, err := k.archive.Put(archive.Record{Run: r, Summary: a.GetSummary(), Windows: view.WindowsOf(run), Lacks: a.GetLacks()})
		if err != nil {
			return archive.Entry{}, err
		}
		if e, err := k.own(a); err == nil || !errors.Is(err, archive.ErrUnknown) {
			return e, err
		}
	}
	if barred != nil {
		return archive.Entry{}, barred
	}
	return k.fetch(ctx, a)
}

// own is a run's entry in this archive. Another record of it than the cluster's
// is of before a restore, and is removed.
func (k *keeper) own(a *pb.Archived) (archive.Entry, error) {
	e, err := k.archive.Entry(a.GetSummary().GetId())
	if err != nil || len(a.GetDigest()) == 0 || bytes.Equal(a.GetDigest(), e.Digest) {
		return e, err
	}
	return archive.Entry{}, cmp.Or(k.archive.Remove(e.Run()), fmt.Errorf("%w: only another record of it", archive.ErrUnknown))
}

// crowded are the runs that the limits leave no room for, of those that a
// majority has had. What has left all archives by their limits counts, so that
// nobody looks for it.
func (k *keeper) crowded(lines []*pb.Archived) map[string]error {
	lines = slices.DeleteFunc(slices.Clone(lines), func(a *pb.Archived) bool { return !a.GetReleased() || a.GetPruned() })
	out := make(map[string]error)
	for _, a := range beyond(lines, k.server.now(), k.limits) {
		out[a.GetSummary().GetId()] = errNoRoom
	}
	return out
}

func (k *keeper) prune() {
	gone, err := k.archive.Prune(k.server.now(), k.limits)
	for _, e := range gone {
		k.log.Info("a run left the archive by its limits", "run", e.Run())
	}
	if err != nil {
		k.log.Error("the archive is not pruned", "cause", err)
	}
}

// tell says what this server's archive has. It is true when that is all, and on
// record.
func (k *keeper) tell(ctx context.Context, news []*pb.Kept) bool {
	if len(news) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, leaderTime)
	defer cancel()
	_, err := k.server.Propose(ctx, &pb.Command{
		Id: "archived/" + rand.Text(), Kind: &pb.Command_RecordArchived{RecordArchived: &pb.RecordArchived{
			Server: k.server.id, Servers: uint32(len(k.server.cfg.Bundle.Servers)), Runs: news,
		}},
	})
	return err == nil && len(news) < mostKept
}

// fetch takes a run from another server's archive.
func (k *keeper) fetch(ctx context.Context, a *pb.Archived) (archive.Entry, error) {
	var failed []error
	for _, id := range k.others(a) {
		e, err := k.fetchFrom(ctx, id, a)
		if err == nil {
			return e, nil
		}
		failed = append(failed, fmt.Errorf("from server %s: %w", id, err))
	}
	return archive.Entry{}, cmp.Or(errors.Join(failed...), errNowhere)
}

// others are the servers that have a run, without this one.
func (k *keeper) others(a *pb.Archived) []string {
	return slices.DeleteFunc(slices.Clone(a.GetServers()), func(id string) bool { return id == k.server.id })
}

func (k *keeper) fetchFrom(ctx context.Context, id string, a *pb.Archived) (archive.Entry, error) {
	file, err := k.open(ctx, id, &pb.FetchArchivedRequest{Run: a.GetSummary().GetId()})
	if err != nil {
		return archive.Entry{}, err
	}
	defer file.Close()
	return k.archive.Take(a.GetSummary().GetId(), a.GetDigest(), int64(a.GetBytes()), file)
}
