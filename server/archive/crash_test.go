package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"iter"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"squall/agent/host/hosttest"
	"squall/proto/canon"
	pb "squall/proto/squall/v1"
)

func pull(r Record) (next func() (*pb.Window, bool), stop func()) { return iter.Pull(r.Windows) }

var errDied = errors.New("the process is dead")

// dyingDisk lets some changes through. The next one is done by half, and from
// then on nothing is, as if the process had died there. Where it only says no,
// the changes after that one are made again.
type dyingDisk struct {
	osDisk
	left   int
	saysNo bool
}

// step tells whether a change may be made whole, and is an error if not.
func (d *dyingDisk) step() error {
	d.left--
	if d.left < 0 && (!d.saysNo || d.left == -1) {
		return errDied
	}
	return nil
}

func (d *dyingDisk) create(path string) (file, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	f, err := d.osDisk.create(path)
	return dyingFile{f, d}, err
}

func (d *dyingDisk) rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.osDisk.rename(from, to)
}

func (d *dyingDisk) remove(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.osDisk.remove(path)
}

func (d *dyingDisk) syncDir(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.osDisk.syncDir(path)
}

type dyingFile struct {
	file
	disk *dyingDisk
}

func (f dyingFile) Write(b []byte) (int, error) {
	if err := f.disk.step(); err != nil {
		n, _ := f.file.Write(b[:len(b)/2])
		return n, err
	}
	return f.file.Write(b)
}

func (f dyingFile) Sync() error {
	if err := f.disk.step(); err != nil {
		return err
	}
	return f.file.Sync()
}

// Whatever change of the disk is the last, the archive that is opened next has
// the old run, and the new one whole or not at all, and takes the new one again.
func TestCrashAtEveryChangeLeavesAllOrNothing(t *testing.T) {
	for _, saysNo := range []bool{false, true} {
		points := 0
		for ; ; points++ {
			dir := t.TempDir()
			put(t, opened(t, dir), record(1, 10))
			dying, err := open(dir, &dyingDisk{left: points, saysNo: saysNo})
			if err != nil {
				t.Fatal(err)
			}
			_, err = dying.Put(record(2, 4000)) // several writes
			if err == nil {
				break
			}
			if _, known := dying.Entry(record(2, 0).Run.GetId()); known == nil {
				t.Fatalf("after %d changes: Put failed with %v, and the run is listed", points, err)
			}
			if saysNo && files(t, dir) != 1 {
				t.Errorf("after %d changes: %d files are left of the try", points, files(t, dir)-1)
			}
			again := opened(t, dir)
			whole(t, again, record(1, 10))
			if _, err := again.Entry(record(2, 0).Run.GetId()); err == nil {
				whole(t, again, record(2, 4000))
			}
			if s := again.Strangers(); len(s) != 0 || files(t, dir) != len(again.Entries()) {
				t.Errorf("after %d changes: strangers %v, %d files", points, s, files(t, dir))
			}
			put(t, again, record(2, 4000))
			whole(t, again, record(2, 4000))
		}
		if points < 6 {
			t.Errorf("only %d changes were tried: the disk is not what the archive writes through", points)
		}
	}
}

// noting notes what it does, for a power cut keeps only what was synced before.
type noting struct {
	osDisk
	did *[]string
}

func (d noting) create(path string) (file, error) {
	f, err := d.osDisk.create(path)
	return notingFile{f, d}, err
}

func (d noting) rename(from, to string) error {
	*d.did = append(*d.did, "rename")
	return d.osDisk.rename(from, to)
}

func (d noting) syncDir(path string) error {
	*d.did = append(*d.did, "sync folder")
	return d.osDisk.syncDir(path)
}

type notingFile struct {
	file
	disk noting
}

func (f notingFile) Write(b []byte) (int, error) {
	*f.disk.did = append(*f.disk.did, "write")
	return f.file.Write(b)
}

func (f notingFile) Sync() error {
	*f.disk.did = append(*f.disk.did, "sync")
	return f.file.Sync()
}

func TestEveryByteIsSyncedBeforeTheFileHasItsName(t *testing.T) {
	var did []string
	a, err := open(t.TempDir(), noting{did: &did})
	if err != nil {
		t.Fatal(err)
	}
	put(t, a, record(1, 4000))
	if did = slices.Compact(did); !slices.Equal(did, []string{"write", "sync", "rename", "sync folder"}) {
		t.Errorf("it did %q", did)
	}
}

// On a full disk the run is refused, nothing is left of the try, what was there
// is read, and with room it is kept.
func TestFullDiskRefusesAndHeals(t *testing.T) {
	hosttest.RequireRoot(t)
	hosttest.OwnMounts(t)
	dir := t.TempDir()
	hosttest.MountMemory(t, dir, 512<<10)
	a := opened(t, dir)
	put(t, a, record(1, 100))
	_, err := a.Put(record(2, 20_000))
	if !errors.Is(err, unix.ENOSPC) || !errors.Is(err, ErrDisk) {
		t.Fatalf("on a full disk: %v", err)
	}
	if files(t, dir) != 1 {
		t.Errorf("the folder has %d files", files(t, dir))
	}
	whole(t, a, record(1, 100))
	put(t, a, record(3, 100))
	whole(t, opened(t, dir), record(3, 100))
}

// No file is taken for a run unless it is one, to the last byte.
func FuzzFile(f *testing.F) {
	var file bytes.Buffer
	if _, err := write(&file, small()); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add([]byte(head + ending))
	empty, _ := closing(&pb.Seal{Version: version, Summary: &pb.RunSummary{Id: "a"}})
	f.Add(append([]byte(head), empty...))
	f.Fuzz(func(t *testing.T, data []byte) {
		at := bytes.NewReader(data)
		e, err := readSeal(at, int64(len(data)))
		if err != nil || checkWhole(at, e.Seal) != nil {
			return
		}
		if e.Run() == "" || e.Bytes != int64(len(data)) {
			t.Errorf("taken for run %q of %d bytes", e.Run(), e.Bytes)
		}
		r := &pb.Run{}
		if err := visitChunks(at, e.Seal, all, func(m proto.Message) bool {
			if run, ok := m.(*pb.Run); ok {
				r = run
			}
			return true
		}); err != nil || r.GetId() != e.Run() {
			t.Errorf("it is whole, and reading it gives %q, %v", r.GetId(), err)
		}
	})
}

// A seal whose digest is right may still say anything.
func FuzzSeal(f *testing.F) {
	var file bytes.Buffer
	if _, err := write(&file, small()); err != nil {
		f.Fatal(err)
	}
	e, err := readSeal(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes()[len(head):len(head)+int(chunkBytes(e.Seal))], canon.Marshal(e.Seal))
	f.Fuzz(func(t *testing.T, body, seal []byte) {
		sum := sha256.Sum256(seal)
		data := append(append([]byte(head), body...), seal...)
		data = append(append(binary.BigEndian.AppendUint32(data, uint32(len(seal))), sum[:]...), ending...)
		at := bytes.NewReader(data)
		if e, err := readSeal(at, int64(len(data))); err == nil {
			_ = fileOf(e.Seal)
			_ = checkWhole(at, e.Seal) // no panic, and no more memory than the file has bytes
		}
	})
}
