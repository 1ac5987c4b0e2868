package page

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	pb "squall/proto/squall/v1"
)

func zones(names ...string) List[*pb.Zone] {
	l := List[*pb.Zone]{Name: "zones", Key: (*pb.Zone).GetName}
	for _, n := range names {
		l.Entries = append(l.Entries, &pb.Zone{Name: n})
	}
	return l
}

func ask(size int32, token string) *pb.ListZonesRequest {
	return &pb.ListZonesRequest{PageSize: size, PageToken: token}
}

// TestPagesAreTheListExactlyOnceWhileItChanges takes and gives entries between
// pages: what is there throughout is told once, what is not at most once.
func TestPagesAreTheListExactlyOnceWhileItChanges(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 0))
		now, stays := map[string]bool{}, map[string]bool{}
		for range 1000 {
			name := fmt.Sprintf("z%04d", r.IntN(5000))
			now[name], stays[name] = true, true
		}
		told := map[string]int{}
		for token, first := "", true; first || token != ""; first = false {
			page, next, err := zones(slices.Sorted(maps.Keys(now))...).Cut(ask(1+r.Int32N(90), token))
			if err != nil {
				t.Fatal(err)
			}
			for _, z := range page {
				told[z.GetName()]++
			}
			token = next
			for range 20 {
				gone, came := fmt.Sprintf("z%04d", r.IntN(5000)), fmt.Sprintf("z%04d", r.IntN(5000))
				delete(now, gone)
				delete(stays, gone)
				now[came] = true
			}
		}
		for name, n := range told {
			if n != 1 {
				t.Errorf("seed %d: %s is told %d times", seed, name, n)
			}
		}
		for name := range stays {
			if told[name] != 1 {
				t.Errorf("seed %d: %s was there all the while, and is told %d times", seed, name, told[name])
			}
		}
	}
}

func TestSizeOfAPageIsBounded(t *testing.T) {
	names := make([]string, 3000)
	for i := range names {
		names[i] = fmt.Sprintf("z%04d", i)
	}
	for asked, want := range map[int32]int{0: Usual, 1: 1, 7: 7, 1000: Most, 1001: Most, 1 << 30: Most} {
		if page, _, err := zones(names...).Cut(ask(asked, "")); err != nil || len(page) != want {
			t.Errorf("page_size %d: %d entries, %v; want %d", asked, len(page), err, want)
		}
	}
	if _, _, err := zones(names...).Cut(ask(-1, "")); !errors.Is(err, ErrSize) || !strings.Contains(err.Error(), "page_size -1") {
		t.Errorf("page_size -1: %v", err)
	}
	if page, next, err := zones().Cut(ask(0, "")); len(page) != 0 || next != "" || err != nil {
		t.Errorf("an empty list has page %v, token %q, %v", page, next, err)
	}
	if _, next, _ := zones("a", "b").Cut(ask(2, "")); next != "" {
		t.Errorf("a list of one full page goes on with %q", next)
	}
}

// TestPageEndsByItsBytes holds it also where one entry is larger than a page.
func TestPageEndsByItsBytes(t *testing.T) {
	l := List[*pb.AuditRecord]{Name: "audit", Key: (*pb.AuditRecord).GetAct}
	for i, kib := range []int{200, 200, 200, 600, 1} {
		l.Entries = append(l.Entries, &pb.AuditRecord{Act: fmt.Sprint(i), Result: strings.Repeat("x", kib<<10)})
	}
	var sizes []int
	for token, first := "", true; first || token != ""; first = false {
		page, next, err := l.Cut(ask(0, token))
		if err != nil {
			t.Fatal(err)
		}
		sizes, token = append(sizes, len(page)), next
	}
	if want := []int{2, 1, 1, 1}; !slices.Equal(sizes, want) {
		t.Errorf("pages of %v entries, want %v", sizes, want)
	}
}

func TestWrongTokenSaysSo(t *testing.T) {
	good := token("zones", "z1")
	for bad, why := range map[string]error{
		"x": errDamaged, "  ": errDamaged, good[1:]: errDamaged, good + "A": errDamaged, good + "=": errDamaged,
		good[:9] + "\n" + good[9:]: errDamaged, strings.Repeat("A", mostToken+1): errDamaged, token("hosts", "z1"): errOtherList,
	} {
		_, _, err := zones("z0", "z1", "z2").Cut(ask(0, bad))
		if !errors.Is(err, why) || !strings.HasPrefix(err.Error(), `page_token "`) {
			t.Errorf("token %.20q: %v", bad, err)
		}
	}
	page, _, err := zones("z0", "z2").Cut(ask(0, good)) // the entry it names is gone
	if err != nil || len(page) != 1 || page[0].GetName() != "z2" {
		t.Errorf("after one that is gone: %v, %v", page, err)
	}
}

// FuzzToken holds that any text is either refused or the one token of its key.
func FuzzToken(f *testing.F) {
	for _, s := range []string{"", "AAAA", token("hosts", "web-a1"), token("runs", ""), token("", "\x00"), token("hosts", "\xff")} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key, err := parse("hosts", s)
		if err == nil && token("hosts", key) != s {
			t.Errorf("%q and %q are both tokens of %q", s, token("hosts", key), key)
		}
		if len(s) > mostToken/2 {
			return
		}
		if key, err := parse("hosts", token("hosts", s)); err != nil || key != s {
			t.Errorf("the token of %q names %q: %v", s, key, err)
		}
	})
}
