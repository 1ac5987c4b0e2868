package undo

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	pb "squall/proto/squall/v1"
)

// load reads the disk into memory. It fails where neither slot can be opened;
// what can't be read otherwise is damage.
func (w *writer) load() error {
	if err := w.openSlots(); err != nil {
		return err
	}
	var c [2]content
	for i, s := range w.slots {
		c[i] = s.load()
		w.lost[i] = c[i].lost != ""
	}
	w.active = newest(c)
	w.usable = c[w.active].complete
	damage := w.damageOf(c)
	found := c[w.active].records
	if len(damage) > 0 {
		found = slices.Concat(c[1-w.active].records, found)
	}
	if w.whole {
		damage = nil // what the disk has lost stands in the mirror
	}
	j := w.journal
	lacks := j.join(found, damage)
	if err := j.mirror.begin(j.everything); err != nil {
		j.failed(err)
	}
	if lacks || !w.usable || c[0].worn || c[1].worn || c[0].lost+c[1].lost+c[w.active].broken != "" {
		w.doubtful = true
		j.rewriteSoon()
	}
	return nil
}

// openSlots opens both files, and makes them where they are missing: then their
// names become durable, too.
func (w *writer) openSlots() error {
	if err := w.disk.Folder(w.journal.dir); err != nil {
		return fmt.Errorf("create journal folder: %w", err)
	}
	made := false
	var errs []error
	for _, s := range w.slots {
		isNew, err := s.open()
		made = made || isNew
		errs = append(errs, err)
	}
	if errs[0] != nil && errs[1] != nil {
		return errors.Join(errs...)
	}
	if !made {
		return nil
	}
	dir := w.journal.dir
	return errors.Join(w.disk.SyncFolder(dir), w.disk.SyncFolder(filepath.Dir(dir)))
}

// newest is the slot to go on with: the complete one of the higher generation.
func newest(c [2]content) int {
	if c[1].complete && (!c[0].complete || c[1].generation > c[0].generation) {
		return 1
	}
	return 0
}

// damageOf says what may be lost. A slot that is older than the other and
// complete has nothing that matters.
func (w *writer) damageOf(c [2]content) (all []string) {
	for i, s := range w.slots {
		what := c[i].lost
		if i == w.active && what == "" {
			what = c[i].broken
		}
		if c[i].blank && c[1-i].other > 0 {
			what = "it is empty, and was not"
		}
		if what != "" {
			all = append(all, s.path+": "+what)
		}
	}
	return all
}

// rewriteSoon puts everything that matters in line again.
func (j *Journal) rewriteSoon() {
	j.mu.Lock()
	defer j.mu.Unlock()
	var line []*entryInLine
	for _, r := range j.memory.records() {
		if !slices.ContainsFunc(j.queue, func(l *entryInLine) bool { return l.record.GetSeq() == r.GetSeq() }) {
			line = append(line, &entryInLine{record: r, point: "rewrite"})
		}
	}
	if len(line) == 0 && len(j.queue) == 0 {
		line = append(line, &entryInLine{record: &pb.Record{}, point: "rewrite"})
	}
	j.queue = append(line, j.queue...)
}
