package notify

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"squall/experiments/near"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
	"squall/server/state"
)

const (
	mostURL  = 2048
	mostTags = 10
	mostTag  = 64
)

// all stands for every event in a sink's list.
const all = "all"

// asDefault is what a sink is told of that names no events.
var asDefault = map[pb.SinkKind][]string{
	pb.SinkKind_SINK_KIND_CLOUDEVENTS: state.Events(),
	pb.SinkKind_SINK_KIND_SLACK: {
		state.EventRunBegun, state.EventRunVerdict, state.EventRunAborted, state.EventRunHalted, state.EventRunNotStarted,
		state.EventRunResidue, state.EventSchedulePaused, state.EventSlotMissed,
	},
	pb.SinkKind_SINK_KIND_GRAFANA: {
		state.EventRunBegun, state.EventRunPhase, state.EventRunVerdict, state.EventRunAborted, state.EventRunHalted, state.EventRunResidue,
	},
}

// Kinds are the words for kinds of sinks.
func Kinds() []string {
	var words []string
	for k := pb.SinkKind_SINK_KIND_CLOUDEVENTS; k <= pb.SinkKind_SINK_KIND_GRAFANA; k++ {
		words = append(words, text.Word(k))
	}
	return words
}

// Kept is a sink as it is to be kept, with its defaults, and what whoever puts it
// should know; or what refuses it, with the field, its value and the fix.
func Kept(s *pb.Sink) (kept *pb.Sink, warnings []string, refused *pb.Problem) {
	for _, check := range []func(*pb.Sink) *pb.Problem{checkName, checkKind, checkPlace, checkAddress, checkSecrets, checkRest, checkEvents} {
		if p := check(s); p != nil {
			return nil, nil, p
		}
	}
	kept = proto.CloneOf(s)
	switch {
	case len(s.GetEvents()) == 0:
		kept.Events = slices.Clone(asDefault[s.GetKind()])
	case slices.Contains(s.GetEvents(), all):
		kept.Events = state.Events()
	}
	if s.GetKind() == pb.SinkKind_SINK_KIND_CLOUDEVENTS && s.GetSignSecret() == "" {
		warnings = append(warnings, "events are not signed: whoever reaches the receiver may make up some; name a secret with --sign-secret")
	}
	if to, err := url.Parse(s.GetUrl()); err == nil && s.GetUrl() != "" && !private(to) {
		warnings = append(warnings, "what it is told goes over the network as plain text; write https")
	}
	return kept, warnings, nil
}

func invalid(path, fix, format string, args ...any) *pb.Problem {
	return &pb.Problem{Path: path, Refusal: pb.Refusal_REFUSAL_INVALID, Message: path + ": " + fmt.Sprintf(format, args...), Fix: fix}
}

// plainName tells whether a name of a sink or a secret can be one: a file's, and
// a variable's part.
func plainName(name string) bool {
	if name == "" || len(name) > 63 || name[0] == '-' || name[0] == '_' {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

func checkName(s *pb.Sink) *pb.Problem {
	if !plainName(s.GetName()) {
		return invalid("name", "write small letters, digits, - and _, as in game-day", "%.80q can't be the name of a sink", s.GetName())
	}
	return nil
}

func checkKind(s *pb.Sink) *pb.Problem {
	if asDefault[s.GetKind()] == nil {
		return invalid("kind", "write one of "+strings.Join(Kinds(), ", "), "%q is no kind of sink", text.Word(s.GetKind()))
	}
	return nil
}

// checkPlace wants one address.
func checkPlace(s *pb.Sink) *pb.Problem {
	switch {
	case s.GetUrl() != "" && s.GetUrlSecret() != "":
		return invalid("url", "leave one of them out", "the sink has an address, and a secret %q that is one", s.GetUrlSecret())
	case s.GetKind() == pb.SinkKind_SINK_KIND_SLACK && s.GetUrlSecret() == "":
		return invalid("url_secret", "put the address into a secret of each server, and name that with --url-secret", "the address of an incoming webhook is a secret, and none is named")
	case s.GetUrl() == "" && s.GetUrlSecret() == "":
		return invalid("url", "write --url https://HOST/PATH, or --url-secret NAME", "the sink has no address")
	}
	return nil
}

// revealing are words in a query's keys that stand before secrets.
var revealing = []string{"token", "key", "secret", "pass", "pwd", "sig", "auth", "credential", "sas", "code"}

func checkAddress(s *pb.Sink) *pb.Problem {
	if s.GetUrl() == "" {
		return nil
	}
	to, err := url.Parse(s.GetUrl())
	const asSecret = "put the whole address into a secret of each server, and name that with --url-secret"
	switch {
	case err != nil || len(s.GetUrl()) > mostURL: // the text may have a password in it
		return invalid("url", "write it as https://HOST/PATH", "the address can't be read")
	case to.User != nil:
		return invalid("url", asSecret+"; a token goes into one of its own, named with --token-secret", "the address of host %q has credentials in it, and everybody would read them", to.Host)
	case to.Scheme != "https" && to.Scheme != "http" || to.Host == "" || to.Fragment != "":
		return invalid("url", "write it as https://HOST/PATH", "%.200q is no address of a web server", to.Redacted())
	case strings.HasSuffix(to.Hostname(), "slack.com"):
		return invalid("url", asSecret, "an address at %s is a secret by itself, and everybody would read it", to.Hostname())
	case s.GetTokenSecret() != "" && !private(to):
		return invalid("url", "write https", "a token would be readable on the way to http://%s", to.Host)
	}
	for key := range to.Query() {
		if i := slices.IndexFunc(revealing, func(word string) bool { return strings.Contains(strings.ToLower(key), word) }); i >= 0 {
			return invalid("url", asSecret, "its query has %.40q, which looks like a secret that everybody would read", key)
		}
	}
	return nil
}

// private tells whether nobody on the way reads what is sent there.
func private(to *url.URL) bool {
	host := to.Hostname()
	ip := net.ParseIP(host)
	return to.Scheme == "https" || host == "localhost" || ip != nil && ip.IsLoopback()
}

func checkSecrets(s *pb.Sink) *pb.Problem {
	for _, f := range []struct{ path, name string }{{"url_secret", s.GetUrlSecret()}, {"sign_secret", s.GetSignSecret()}, {"token_secret", s.GetTokenSecret()}} {
		if f.name != "" && !plainName(f.name) { // it may be the secret itself
			return invalid(f.path, "write the name of a secret: small letters, digits, - and _; its value stays in a file or variable of each server", "that is not the name of a secret")
		}
	}
	switch kind := s.GetKind(); {
	case s.GetSignSecret() != "" && kind != pb.SinkKind_SINK_KIND_CLOUDEVENTS:
		return invalid("sign_secret", "leave it out", "%q can sign nothing: only CloudEvents are signed", s.GetSignSecret())
	case s.GetTokenSecret() != "" && kind == pb.SinkKind_SINK_KIND_SLACK:
		return invalid("token_secret", "leave it out", "%q is for nothing: the address of an incoming webhook is its secret", s.GetTokenSecret())
	}
	return nil
}

func checkRest(s *pb.Sink) *pb.Problem {
	switch {
	case s.GetCaFile() != "" && !fileName(s.GetCaFile()):
		return invalid("ca_file", "put the file into each server's folder of the setting notify.secrets, and write its name, as in ca.pem: small letters, digits, -, _ and dots", "%.80q can't be the name of a file there", s.GetCaFile())
	case len(s.GetTags()) > 0 && s.GetKind() != pb.SinkKind_SINK_KIND_GRAFANA:
		return invalid("tags", "leave them out", "only annotations of Grafana have tags")
	case len(s.GetTags()) > mostTags:
		return invalid("tags", "leave some out", "%d are more than %d", len(s.GetTags()), mostTags)
	}
	for _, tag := range s.GetTags() {
		if tag == "" || len(tag) > mostTag || !utf8.ValidString(tag) {
			return invalid("tags", fmt.Sprintf("write 1 to %d characters", mostTag), "%.80q can't be a tag", tag)
		}
	}
	return nil
}

func checkEvents(s *pb.Sink) *pb.Problem {
	known := append(state.Events(), all)
	for i, e := range s.GetEvents() {
		if !slices.Contains(known, e) {
			return invalid(fmt.Sprintf("events[%d]", i), near.Fix(e, "event", known), "there is no event %.80q", e)
		}
		if slices.Contains(s.GetEvents()[:i], e) {
			return invalid(fmt.Sprintf("events[%d]", i), "leave it out", "%q stands there twice", e)
		}
	}
	return nil
}
