// Package page cuts lists into pages, as AIP-158 has them.
//
// A token names where in a list's order the next page begins, and nothing else:
// no server keeps anything for it, and any server takes it. So what is in a list
// from the first page to the last is told exactly once, and what comes or goes
// meanwhile at most once.
package page

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
)

const (
	// Usual is how many entries a page has where the caller doesn't say.
	Usual = 500
	// Most is how many entries a page has at the most.
	Most = 1000
	// Bytes is where a page ends, however few entries it has: far below the 4 MiB
	// at which gRPC's clients stop.
	Bytes = 512 << 10
)

// ErrSize is returned for a negative page_size.
var ErrSize = errors.New("may not be negative")

// Request is what the request of a list asks for.
type Request interface {
	GetPageSize() int32
	GetPageToken() string
}

// List is a list in the order of its keys, which no two entries share.
type List[T proto.Message] struct {
	// Name tells its tokens from those of other lists.
	Name string
	// Entries are all there are now, in order.
	Entries []T
	// Key is an entry's place in the order. It never changes.
	Key func(T) string
}

// Cut is the page that is asked for, and the token of the next, empty after the
// last. The error names what is wrong with the request.
func (l List[T]) Cut(r Request) (entries []T, next string, err error) {
	most, err := sizeOf(r)
	if err != nil {
		return nil, "", err
	}
	from := 0
	if r.GetPageToken() != "" {
		after, err := parse(l.Name, r.GetPageToken())
		if err != nil {
			return nil, "", fmt.Errorf("page_token %.40q %w", r.GetPageToken(), err)
		}
		from = l.after(after)
	}
	to := l.end(from, most)
	if entries = l.Entries[from:to]; to < len(l.Entries) {
		next = token(l.Name, l.Key(l.Entries[to-1]))
	}
	return entries, next, nil
}

func sizeOf(r Request) (int, error) {
	if r.GetPageSize() < 0 {
		return 0, fmt.Errorf("page_size %d %w", r.GetPageSize(), ErrSize)
	}
	return min(cmp.Or(int(r.GetPageSize()), Usual), Most), nil
}

// after is the place of the first entry behind a key, whose own may be gone.
func (l List[T]) after(key string) int {
	i, found := slices.BinarySearchFunc(l.Entries, key, func(e T, key string) int { return cmp.Compare(l.Key(e), key) })
	if found {
		i++
	}
	return i
}

// end is where the page that begins at from ends: it has one entry at least, so
// that pages always come to an end.
func (l List[T]) end(from, most int) int {
	bytes := 0
	for i, e := range l.Entries[from:] {
		if bytes += proto.Size(e); i == most || i > 0 && bytes > Bytes {
			return from + i
		}
	}
	return len(l.Entries)
}
