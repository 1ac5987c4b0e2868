package archive

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

func TestAnotherServerTakesTheFile(t *testing.T) {
	a, b := opened(t, t.TempDir()), opened(t, t.TempDir())
	r := record(1, 1500)
	e := put(t, a, r)
	var file bytes.Buffer
	if err := a.Copy(e.Run(), &file); err != nil {
		t.Fatal(err)
	}
	for name, sent := range wrong(file.Bytes()) {
		if _, err := b.Take(e.Run(), e.Digest, e.Bytes, bytes.NewReader(sent)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: taken with %v", name, err)
		}
	}
	if _, err := b.Take(e.Run(), put(t, a, record(2, 1)).Digest, e.Bytes, bytes.NewReader(file.Bytes())); !errors.Is(err, ErrDamaged) {
		t.Errorf("with another digest: %v", err)
	}
	if _, err := b.Take("other", e.Digest, e.Bytes, bytes.NewReader(file.Bytes())); !errors.Is(err, ErrDamaged) {
		t.Errorf("as another run: %v", err)
	}
	if len(b.Entries()) != 0 || files(t, b.dir) != 0 {
		t.Fatalf("what can't be taken is left: %v", b.Entries())
	}
	if _, err := b.Take(e.Run(), e.Digest, e.Bytes, &file); err != nil {
		t.Fatal(err)
	}
	whole(t, b, r)
}

// wrong is what may come instead of a file.
func wrong(file []byte) map[string][]byte {
	return map[string][]byte{
		"cut short": file[:len(file)-1], "empty": nil, "too long": append(bytes.Clone(file), 0),
		"a bit turned": turned(file, len(file)/2), "a bit turned in its head": turned(file, 3),
	}
}

// part is what an archive sends of a run.
func part(t testing.TB, send func(string, io.Writer) error, run string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := send(run, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRunIsDecodedWithoutItsWindows(t *testing.T) {
	a := opened(t, t.TempDir())
	r := record(1, 5000)
	e := put(t, a, r)
	sent := part(t, a.CopyRun, e.Run())
	if int64(len(sent)) > e.Bytes/4 {
		t.Errorf("%d bytes of %d are sent", len(sent), e.Bytes)
	}
	got, err := Decode(bytes.NewReader(sent), e.Digest)
	if err != nil || !proto.Equal(got, r.Run) {
		t.Errorf("decoded %v, %v", got, err)
	}
	for name, sent := range wrong(sent) {
		if _, err := Decode(bytes.NewReader(sent), e.Digest); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: decoded with %v", name, err)
		}
	}
	if _, err := Decode(bytes.NewReader(sent), put(t, a, record(2, 1)).Digest); !errors.Is(err, ErrDamaged) {
		t.Errorf("with another digest: %v", err)
	}
}

func TestWindowsAreDecodedAsTheyCome(t *testing.T) {
	a := opened(t, t.TempDir())
	e := put(t, a, record(1, 5000))
	sent := part(t, a.CopyWindows, e.Run())
	count := func(sent []byte, digest []byte) (n int, err error) {
		for w, failed := range DecodeWindows(bytes.NewReader(sent), digest) {
			if err = failed; err == nil && !proto.Equal(w, window(e.Run(), n)) {
				t.Fatalf("window %d is %v", n, w)
			}
			n++
		}
		return n, err
	}
	if n, err := count(sent, e.Digest); n != 5000 || err != nil {
		t.Errorf("%d windows, %v", n, err)
	}
	for name, sent := range wrong(sent) {
		if _, err := count(sent, e.Digest); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: decoded with %v", name, err)
		}
	}
	for _, err := range DecodeWindows(bytes.NewReader(sent[:len(sent)/2]), e.Digest) {
		if err != nil {
			t.Error(err)
		}
		return // the first one is there before the last one has come
	}
	t.Error("there is none")
}

// endless gives bytes as long as it is asked, and counts them.
type endless struct{ read int64 }

func (e *endless) Read(b []byte) (int, error) {
	e.read += int64(len(b))
	return len(b), nil
}

// A peer that never ends fills neither disk nor memory.
func TestNoMoreIsTakenThanTheFileHas(t *testing.T) {
	a := opened(t, t.TempDir())
	peer := &endless{}
	if _, err := a.Take("r", make([]byte, 32), 1000, peer); !errors.Is(err, ErrDamaged) || peer.read > 100_000 {
		t.Errorf("of a file of 1,000 bytes %d are read, %v", peer.read, err)
	}
	if files(t, a.dir) != 0 {
		t.Error("something is left of it")
	}
	peer.read = 0
	if _, err := Decode(peer, nil); !errors.Is(err, ErrDamaged) || peer.read > 100_000 {
		t.Errorf("of a run that is none %d bytes are read, %v", peer.read, err)
	}
}

// slow is a peer that sends nothing until it is told to.
type slow struct {
	io.Reader
	asked, send chan struct{}
}

func (s *slow) Read(b []byte) (int, error) {
	if s.asked != nil {
		close(s.asked)
		s.asked = nil
	}
	<-s.send
	return s.Reader.Read(b)
}

// While a file comes from a peer, the archive puts, looks and prunes as ever, and
// leaves what has come of it alone.
func TestNobodyWaitsForAPeer(t *testing.T) {
	a, b := opened(t, t.TempDir()), opened(t, t.TempDir())
	r := record(1, 1500)
	e := put(t, a, r)
	peer := &slow{bytes.NewReader(part(t, a.Copy, e.Run())), make(chan struct{}), make(chan struct{})}
	asked, taken := peer.asked, make(chan error)
	go func() {
		_, err := b.Take(e.Run(), e.Digest, e.Bytes, peer)
		taken <- err
	}()
	<-asked
	done := make(chan error)
	go func() {
		_, putting := b.Put(record(2, 10))
		_, pruning := b.Prune(time.Unix(0, 0), Limits{Bytes: 1})
		_, again := b.Put(record(3, 10))
		done <- errors.Join(putting, pruning, again, b.Rescan())
	}()
	select {
	case err := <-done:
		if err != nil || len(b.Entries()) != 1 {
			t.Errorf("meanwhile: %v, with runs %v", err, b.Entries())
		}
	case <-time.After(10 * time.Second):
		t.Error("the archive waits for a peer")
	}
	close(peer.send)
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	whole(t, b, r)
	if files(t, b.dir) != 2 {
		t.Errorf("the folder has %d files", files(t, b.dir))
	}
}

// Nothing is larger in the archive than what may be taken from it.
func TestRecordThatIsTooLargeIsRefused(t *testing.T) {
	s := &sealer{w: io.Discard, seal: &pb.Seal{}, wrote: mostFile - 5}
	s.write([]byte("12345"))
	if s.err != nil {
		t.Error(s.err)
	}
	if s.write([]byte("6")); s.err == nil {
		t.Error("one byte more is written")
	}
}

// What a peer sends is a run, or windows, with that digest, or refused.
func FuzzPart(f *testing.F) {
	a, err := Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	e, err := a.Put(small())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(part(f, a.CopyRun, e.Run()), e.Digest)
	f.Add(part(f, a.CopyWindows, e.Run()), e.Digest)
	f.Fuzz(func(t *testing.T, data, digest []byte) {
		if r, err := Decode(bytes.NewReader(data), digest); err == nil && r.GetId() == "" {
			t.Error("it is decoded to no run")
		}
		for w, err := range DecodeWindows(bytes.NewReader(data), digest) {
			if err == nil && w.GetRun() == "" {
				t.Error("a window is of no run")
			}
		}
	})
}

// A chunk is as many of its kind as its seal says, or refused.
func FuzzChunk(f *testing.F) {
	for _, kind := range []pb.SealedChunkKind{pb.SealedChunkKind_SEALED_CHUNK_KIND_RUN, pb.SealedChunkKind_SEALED_CHUNK_KIND_EVENTS, pb.SealedChunkKind_SEALED_CHUNK_KIND_WINDOWS, 9} {
		f.Add(int32(kind), uint32(1), []byte("\n\x01a"))
	}
	f.Fuzz(func(t *testing.T, kind int32, count uint32, data []byte) {
		c := &pb.SealedChunk{Kind: pb.SealedChunkKind(kind), Count: count}
		m, err := decodeChunk(c, data)
		if w, ok := m.(*pb.SealedWindows); err == nil && ok && len(w.GetWindows()) != int(count) {
			t.Errorf("%d windows, the seal says %d", len(w.GetWindows()), count)
		}
	})
}
