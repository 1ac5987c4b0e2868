package pki

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

var serversOnly = []pb.Role{pb.Role_ROLE_SERVER}

func TestSealHoldsWhatWasSealedByWhoMay(t *testing.T) {
	ours, theirs := authority(t), authority(t)
	server := issued(t, ours, Identity{Role: pb.Role_ROLE_SERVER, Name: "s1"})
	other := issued(t, ours, Identity{Role: pb.Role_ROLE_SERVER, Name: "s2"})
	agent := issued(t, ours, Identity{Role: pb.Role_ROLE_AGENT, Name: "web-1"})
	stranger := issued(t, theirs, Identity{Role: pb.Role_ROLE_SERVER, Name: "s1"})
	seal := func(b *Bundle, purpose string, words ...string) *pb.HaltSeal {
		s, err := b.Seal(purpose, words...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if id, err := other.CheckSeal(seal(server, "halt", "h", "why"), serversOnly, "halt", "h", "why"); err != nil || id.Name != "s1" {
		t.Errorf("a server's seal: %v, %v", id, err)
	}
	broken := proto.CloneOf(seal(server, "halt", "h"))
	broken.Signature[len(broken.GetSignature())/2] ^= 1
	for what, s := range map[string]*pb.HaltSeal{
		"no seal":          nil,
		"an agent's":       seal(agent, "halt", "h"),
		"another region's": seal(stranger, "halt", "h"),
		"other words":      seal(server, "halt", "k"),
		"another purpose":  seal(server, "resume", "h"),
		"shifted words":    seal(server, "hal", "th"),
		"a broken one":     broken,
	} {
		if _, err := other.CheckSeal(s, serversOnly, "halt", "h"); !errors.Is(err, ErrSeal) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzCheckSeal(f *testing.F) {
	a, err := NewAuthority()
	if err != nil {
		f.Fatal(err)
	}
	b, err := a.Issue(Identity{Role: pb.Role_ROLE_SERVER, Name: "s1"})
	if err != nil {
		f.Fatal(err)
	}
	good, err := b.Seal("halt", "h")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.GetCertificate(), good.GetSignature(), "k")
	f.Fuzz(func(t *testing.T, cert, signature []byte, word string) {
		if _, err := b.CheckSeal(&pb.HaltSeal{Certificate: cert, Signature: signature}, serversOnly, "halt", word); err == nil && word != "h" {
			t.Errorf("%q passes for sealed", word)
		}
	})
}
