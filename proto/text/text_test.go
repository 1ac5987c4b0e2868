package text_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

func TestCheckNamesTheField(t *testing.T) {
	good := &pb.Experiment{
		Title: "größer → besser", Hypothesis: "two\nlines",
		Targets: map[string]*pb.Target{"it": {Host: []string{"a"}, Labels: map[string]string{"k": "v"}}},
	}
	if err := text.Check(good); err != nil {
		t.Errorf("refuses what is legible: %v", err)
	}
	for want, spoil := range map[string]func(*pb.Experiment){
		"title":                     func(e *pb.Experiment) { e.Title = "\x1b[2Jgone" },
		"hypothesis":                func(e *pb.Experiment) { e.Hypothesis = "back\bspace" },
		`targets["it"].host[0]`:     func(e *pb.Experiment) { e.Targets["it"].Host[0] = "a\u202e" },
		`targets["it"].labels["k"]`: func(e *pb.Experiment) { e.Targets["it"].Labels["k"] = "\x9b" + "2J" },
		`targets["b\x1b"]`:          func(e *pb.Experiment) { e.Targets["b\x1b"] = &pb.Target{} },
		"clock.origin":              func(e *pb.Experiment) { e.Clock = &pb.Clock{Origin: strings.Repeat("x", text.Most+1)} },
	} {
		e := proto.CloneOf(good)
		spoil(e)
		if err := text.Check(e); err == nil || !strings.HasPrefix(err.Error(), want+": ") {
			t.Errorf("want an error about %s: %v", want, err)
		}
		text.CleanMessage(e)
		if err := text.Check(e); err != nil {
			t.Errorf("%s is not clean after cleaning: %v", want, err)
		}
	}
}

// TestWhatIsSentToAProgramIsNoText: the line end that Redis, SMTP and memcached
// want is none that a terminal is shown.
func TestWhatIsSentToAProgramIsNoText(t *testing.T) {
	tcp := &pb.TCPProbe{Address: "redis:6379", Send: "PING\r\n", Expect: "+PONG\r\n\x00"}
	e := &pb.Experiment{Probes: map[string]*pb.Probe{"ping": {Kind: &pb.Probe_Tcp{Tcp: tcp}}}}
	if err := text.Check(e); err != nil {
		t.Errorf("refused: %v", err)
	}
	text.CleanMessage(e)
	if tcp.GetSend() != "PING\r\n" || tcp.GetExpect() != "+PONG\r\n\x00" {
		t.Errorf("it became %q", tcp)
	}
	tcp.Send = strings.Repeat("x", text.Most+1)
	if err := text.Check(e); err == nil {
		t.Error("it may have any length")
	}
	for _, name := range []protoreflect.Name{"send", "expect"} {
		if fd := tcp.ProtoReflect().Descriptor().Fields().ByName(name); fd == nil || !text.Sent(fd) {
			t.Errorf("%s is not sent", name)
		}
	}
}

// spoilt is a host whose bytes hold a process name that was cut inside a letter.
func spoilt(t *testing.T) []byte {
	t.Helper()
	m := &pb.SessionRequest{Kind: &pb.SessionRequest_Hello{Hello: &pb.Hello{
		Version: "1", Host: &pb.Host{Name: "a", Undeclared: []string{"cut-here"}, Labels: map[string]string{"k": "cut-here"}},
	}}}
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b, []byte("cut-here"), []byte("cut-her\xc3"))
}

func TestNameCutInsideALetterIsMended(t *testing.T) {
	var m pb.SessionRequest
	if err := proto.Unmarshal(spoilt(t), &m); err == nil {
		t.Fatal("the message is valid as it is: the test shows nothing")
	}
	if err := text.Unmarshal(spoilt(t), &m); err != nil {
		t.Fatal(err)
	}
	h := m.GetHello().GetHost()
	if h.GetName() != "a" || h.GetUndeclared()[0] != "cut-her\uFFFD" || h.GetLabels()["k"] != "cut-her\uFFFD" {
		t.Errorf("reads %v", h)
	}
	if err := text.Unmarshal([]byte("\xff\xff"), &m); err == nil {
		t.Error("takes bytes that are no message")
	}
}

func FuzzUnmarshal(f *testing.F) {
	b, _ := proto.Marshal(&pb.SessionRequest{Kind: &pb.SessionRequest_Report{Report: &pb.Report{Steps: []*pb.StepStatus{
		{Run: "r", Residue: []string{"a link"}, Refused: &pb.Problem{Message: "no"}},
	}}}})
	f.Add(b)
	f.Add(bytes.ReplaceAll(b, []byte("link"), []byte("lin\xc3")))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m pb.SessionRequest
		if text.Unmarshal(b, &m) != nil {
			return
		}
		text.CleanMessage(&m)
		if err := text.Check(&m); err != nil {
			t.Errorf("not clean: %v", err)
		}
		if _, err := proto.Marshal(&m); err != nil {
			t.Errorf("can't be sent on: %v", err)
		}
	})
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[2J")
	f.Add("cut\xc3")
	f.Add(strings.Repeat("ä", text.Most))
	f.Fuzz(func(t *testing.T, s string) {
		got := text.Clean(s)
		if !utf8.ValidString(got) || len(got) > 3*text.Most || text.Clean(got) != got && len(got) <= text.Most {
			t.Errorf("%q becomes %q", s, got)
		}
	})
}
