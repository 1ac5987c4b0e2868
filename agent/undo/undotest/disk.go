// Package undotest holds a disk for journals that fails, hangs and loses power
// when a test wants it to.
package undotest

import (
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"squall/agent/undo"
)

// Op is one operation on a Disk, before it is done.
type Op struct {
	// N counts the disk's operations from 1.
	N int
	// Kind is folder, open, read, write, sync, room or syncfolder.
	Kind string
	Path string
	// At and Bytes are where a read or write begins, and its length.
	At, Bytes int
}

// Changes says that the operation asks the disk to change.
func (o Op) Changes() bool { return o.Kind == "write" || o.Kind == "sync" || o.Kind == "room" }

// Disk is a disk in memory. Journals that are opened on it one after the other
// find what the earlier ones left.
type Disk struct {
	mu    sync.Mutex // guards all below
	files map[string]*content
	n     int
	// thawed is closed when operations go on; nil while they do.
	thawed chan struct{}
	frozen func(Op) bool
	fail   func(Op) error
	done   []Op
}

var _ undo.Disk = (*Disk)(nil)

// content is a file as written, and as it would be after a power cut.
type content struct{ written, durable []byte }

// NewDisk makes an empty disk that works.
func NewDisk() *Disk { return &Disk{files: map[string]*content{}} }

// Freeze lets operations for which frozen is true hang until Thaw; nil is those
// that change something, as with fsfreeze.
func (d *Disk) Freeze(frozen func(Op) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if frozen == nil {
		frozen = Op.Changes
	}
	d.thawed, d.frozen = make(chan struct{}), frozen
}

// Thaw lets everything that hangs go on.
func (d *Disk) Thaw() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.thawed != nil {
		close(d.thawed)
	}
	d.thawed = nil
}

// Fail lets operations fail as fail says, until it is called with nil. A write
// that fails leaves its first half.
func (d *Disk) Fail(fail func(Op) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = fail
}

// PowerCut forgets what is not durable.
func (d *Disk) PowerCut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.files {
		c.written = slices.Clone(c.durable)
	}
}

// Edit changes the durable bytes of a file, as rot does.
func (d *Disk) Edit(path string, edit func([]byte)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.files[path]; c != nil {
		edit(c.durable)
		c.written = slices.Clone(c.durable)
	}
}

// Ops is every operation that was begun, oldest first.
func (d *Disk) Ops() []Op {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.done)
}

// begin counts an operation, hangs it, and says how it fails.
func (d *Disk) begin(o Op) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n++
	o.N = d.n
	d.done = append(d.done, o)
	for d.thawed != nil && d.frozen(o) {
		thawed := d.thawed
		d.mu.Unlock()
		<-thawed
		d.mu.Lock()
	}
	if d.fail != nil {
		return d.fail(o)
	}
	return nil
}

// Folder implements undo.Disk.
func (d *Disk) Folder(path string) error { return d.begin(Op{Kind: "folder", Path: path}) }

// SyncFolder implements undo.Disk.
func (d *Disk) SyncFolder(path string) error { return d.begin(Op{Kind: "syncfolder", Path: path}) }

// Room implements undo.Disk.
func (d *Disk) Room(path string, bytes int) error {
	return d.begin(Op{Kind: "room", Path: path, Bytes: bytes})
}

// Open implements undo.Disk.
func (d *Disk) Open(path string) (undo.File, error) {
	if err := d.begin(Op{Kind: "open", Path: path}); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[path] == nil {
		d.files[path] = &content{}
	}
	return &file{disk: d, path: path, content: d.files[path]}, nil
}

// file is an open file.
type file struct {
	disk    *Disk
	path    string
	content *content
}

// ReadAt implements undo.File.
func (f *file) ReadAt(b []byte, at int64) (int, error) {
	if err := f.disk.begin(Op{Kind: "read", Path: f.path, At: int(at), Bytes: len(b)}); err != nil {
		return 0, err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	n := copy(b, f.content.written[min(int(at), len(f.content.written)):])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements undo.File.
func (f *file) WriteAt(b []byte, at int64) (int, error) {
	err := f.disk.begin(Op{Kind: "write", Path: f.path, At: int(at), Bytes: len(b)})
	if err != nil {
		b = b[:len(b)/2]
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if end := int(at) + len(b); end > len(f.content.written) {
		f.content.written = append(f.content.written, make([]byte, end-len(f.content.written))...)
	}
	return copy(f.content.written[at:], b), err
}

// Sync implements undo.File.
func (f *file) Sync() error {
	if err := f.disk.begin(Op{Kind: "sync", Path: f.path}); err != nil {
		return err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.content.durable = slices.Clone(f.content.written)
	return nil
}

// Close implements undo.File.
func (f *file) Close() error { return nil }

// Stat implements undo.File.
func (f *file) Stat() (os.FileInfo, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return info{f.path, int64(len(f.content.written))}, nil
}

// info is what Stat knows.
type info struct {
	name string
	size int64
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return 0o600 }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }
