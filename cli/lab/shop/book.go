package shop

import "sync"

// books count the writes that were asked for under a name. A book is closed
// until somebody opens it, so that whoever counts can say where counting began
// and where it ended.
type books struct {
	mu     sync.Mutex
	byName map[string]*book // guarded by mu
}

// book is what became of the writes under one name.
type book struct {
	Open         bool   `json:"open"`
	Asked        uint64 `json:"asked"`
	Acknowledged uint64 `json:"acknowledged"`
	// Unknown may have been written or not: nobody acknowledged them.
	Unknown uint64 `json:"unknown"`
}

func (b *books) set(name string, open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byName == nil {
		b.byName = map[string]*book{}
	}
	if b.byName[name] == nil {
		b.byName[name] = &book{}
	}
	b.byName[name].Open = open
}

// begin notes a write, unless the book is closed.
func (b *books) begin(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	of := b.byName[name]
	if of == nil || !of.Open {
		return false
	}
	of.Asked++
	return true
}

func (b *books) end(name string, acknowledged bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if acknowledged {
		b.byName[name].Acknowledged++
	} else {
		b.byName[name].Unknown++
	}
}

func (b *books) all() map[string]book {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]book{}
	for name, of := range b.byName {
		out[name] = *of
	}
	return out
}
