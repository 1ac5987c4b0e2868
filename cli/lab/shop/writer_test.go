package shop

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// member is an etcd that takes every put, or none.
type member struct {
	*httptest.Server
	mu   sync.Mutex
	keys map[string]string // guarded by mu
	down bool              // guarded by mu
}

func newMember(t *testing.T) *member {
	m := &member{keys: map[string]string{}}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		var put struct{ Key, Value []byte }
		if err := json.NewDecoder(r.Body).Decode(&put); err != nil || m.down {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		m.keys[string(put.Key)] = string(put.Value)
		writeJSON(w, map[string]any{"header": map[string]string{"revision": "7"}})
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *member) address() string { return strings.TrimPrefix(m.URL, "http://") }

func (m *member) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = true
}

func (w *writer) answer(method, path string) int {
	out := httptest.NewRecorder()
	w.doors().ServeHTTP(out, httptest.NewRequest(method, path, nil))
	return out.Code
}

func TestAWriteThatIsAskedForIsOneKey(t *testing.T) {
	a, b := newMember(t), newMember(t)
	a.stop()
	w := newEtcdWriter([]string{a.address(), b.address()})
	w.client = a.Client()
	for range 4 {
		if code := w.answer(http.MethodPost, "/write"); code != http.StatusOK {
			t.Errorf("a write with one of two members: %d", code)
		}
	}
	if len(b.keys) != 4 || len(a.keys) != 0 || w.revision.Load() != 7 {
		t.Errorf("%d keys, %d in the member that is down, revision %d", len(b.keys), len(a.keys), w.revision.Load())
	}
	for key, value := range b.keys {
		if !strings.HasPrefix(key, "asked/") || !strings.HasPrefix(value, b.address()+" ") {
			t.Errorf("key %q has the value %q", key, value)
		}
	}
}

func TestABookCountsWhileItIsOpen(t *testing.T) {
	m := newMember(t)
	w := newEtcdWriter([]string{m.address()})
	w.client = m.Client()
	for _, step := range []struct {
		method, path string
		want         int
	}{
		{http.MethodPost, "/write?book=b", http.StatusConflict},
		{http.MethodPut, "/books/b", http.StatusOK},
		{http.MethodPost, "/write?book=b", http.StatusOK},
		{http.MethodPost, "/write?book=b", http.StatusOK},
		{http.MethodDelete, "/books/b", http.StatusOK},
		{http.MethodPost, "/write?book=b", http.StatusConflict},
	} {
		if code := w.answer(step.method, step.path); code != step.want {
			t.Errorf("%s %s: %d, want %d", step.method, step.path, code, step.want)
		}
	}
	m.stop()
	w.answer(http.MethodPut, "/books/b")
	if code := w.answer(http.MethodPost, "/write?book=b"); code != http.StatusServiceUnavailable {
		t.Errorf("a write without any member: %d", code)
	}
	if got, want := w.books.all()["b"], (book{Open: true, Asked: 3, Acknowledged: 2, Unknown: 1}); got != want || len(m.keys) != 2 {
		t.Errorf("the book says %+v, want %+v; %d keys", got, want, len(m.keys))
	}
}
