package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"squall/experiments/near"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
	"squall/server/notify"
	"squall/server/state"
)

func newNotifyCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "notify", Short: "Who is told of what happens: webhooks, Slack, Grafana",
		Long: "Who is told of what happens: a sink takes CloudEvents, messages of Slack's form, or annotations of Grafana. Each event arrives at least once, under an id that stays the same. What a sink does not take is tried again for 15 minutes, and kept in its list of dead notices then.\n\n" +
			"Secrets are names: each server has their values, as files in the folder of its setting notify.secrets, or in variables SQUALL_SECRET_NAME. One that signs, or is a token, goes only to the hosts in a file NAME.hosts beside it, or in SQUALL_SECRET_NAME_HOSTS.\n\nEvents: " + strings.Join(state.Events(), ", ") + ".",
	}
	a.addAsked(c, func() []*cobra.Command {
		return []*cobra.Command{
			newNotifyPutCmd(a), listCmd(a, "list", "Who is told of what, and how that fares", listSinks, sinksView),
			newNotifyTestCmd(a), newNotifyRemoveCmd(a), newNotifyDeadCmd(a),
		}
	})
	return c
}

// sinkFlags are what a sink may be, as flags have it.
type sinkFlags struct {
	kind string
	sink pb.Sink
}

func (o *sinkFlags) register(c *cobra.Command) {
	f, s := c.Flags(), &o.sink
	f.StringVar(&o.kind, "kind", "", "how it is told: "+strings.Join(notify.Kinds(), ", ")+"; required")
	f.StringVar(&s.Url, "url", "", "its address, without anything secret in it")
	f.StringVar(&s.UrlSecret, "url-secret", "", "name of the secret that holds its address, where the address is one, as Slack's are")
	f.StringVar(&s.SignSecret, "sign-secret", "", "name of the secret that signs CloudEvents")
	f.StringVar(&s.TokenSecret, "token-secret", "", "name of the secret that is sent as a bearer token")
	f.StringSliceVar(&s.Events, "event", nil, "an event that it is told of, or all; may be repeated; what fits its kind where none is named")
	f.StringVar(&s.CaFile, "ca-file", "", "name of the file with the authorities that vouch for it, in each server's folder of secrets; the system's where it is left out")
	f.StringSliceVar(&s.Tags, "tag", nil, "a tag of its annotations; may be repeated")
	f.BoolVar(&s.NamedOnly, "named-only", false, "tell it only of experiments whose file names it in notify.sinks")
	completeFlags(c, map[string]completion{"kind": completeNames(notify.Kinds()...), "event": completeNames(append(state.Events(), "all")...)})
}

func newNotifyPutCmd(a *app) *cobra.Command {
	var req pb.PutSinkRequest
	var o sinkFlags
	c := &cobra.Command{
		Use: "put NAME", Short: "Keep a sink, in the place of the one of its name", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSinks(),
		Example: "  squall notify put ops --kind cloudevents --url https://hooks.example.com/squall --sign-secret ops-key\n" +
			"  squall notify put game-day --kind slack --url-secret slack-game-day --reason 'the team listens there'",
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.sink.Kind, err = sinkKind(o.kind); err != nil {
				return err
			}
			o.sink.Name, req.Id, req.Sink = args[0], newID(), &o.sink
			if _, _, wrong := notify.Kept(req.GetSink()); wrong != nil {
				return usagef("%s\n  fix: %s", wrong.GetMessage(), wrong.GetFix())
			}
			return askAndShow(c.Context(), a, pb.ControlServiceClient.PutSink, &req, func(resp *pb.PutSinkResponse) view {
				return sentenced(resp, args[0], putSentence(resp))
			})
		},
	}
	o.register(c)
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the record")
	return c
}

func sinkKind(word string) (pb.SinkKind, error) {
	if i := slices.Index(notify.Kinds(), word); i >= 0 {
		return pb.SinkKind(i + 1), nil
	}
	return 0, usagef("kind: %q is no kind of sink\n  fix: %s", word, near.Fix(word, "kind", notify.Kinds()))
}

func putSentence(resp *pb.PutSinkResponse) string {
	s := resp.GetSink()
	line := fmt.Sprintf("sink %s is kept; it is told of %s\nsee whether every server reaches it with: squall notify test %s", s.GetName(), strings.Join(s.GetEvents(), ", "), s.GetName())
	for _, w := range resp.GetWarnings() {
		line += "\nwarning: " + w
	}
	return line
}

func newNotifyTestCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "test NAME", Short: "Have every server send a sink a test, and say how that went", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSinks(),
		Long: "Have every server send a sink a test, and say how that went: each may come to lead, and needs the sink's secrets and a way to it then. The sink gets one message of each server.",
		RunE: func(c *cobra.Command, args []string) error {
			a.settings.Timeout = max(a.settings.Timeout, testSinkTime)
			failed := false
			err := askAndShow(c.Context(), a, pb.ControlServiceClient.TestSink, &pb.TestSinkRequest{Name: args[0]}, func(resp *pb.TestSinkResponse) view {
				failed = slices.ContainsFunc(resp.GetTrials(), func(t *pb.SinkTrial) bool { return t.GetProblem() != "" })
				return trialsView(resp)
			})
			if err == nil && failed {
				return errors.New("not every server can tell the sink")
			}
			return err
		},
	}
}

// testSinkTime is how long a test may take: each server has ten seconds.
const testSinkTime = 15 * time.Second

func trialsView(resp *pb.TestSinkResponse) view {
	v := view{message: resp, table: func(w io.Writer, _ bool) {
		fmt.Fprintln(w, "SERVER\tTOLD\tTOOK\tWHY NOT")
		for _, t := range resp.GetTrials() {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", t.GetServer(), toldWord(t), time.Duration(t.GetTookNanos()).Round(time.Millisecond), orDash(t.GetProblem()+when(t.GetFix() != "", "; fix: "+t.GetFix())))
		}
	}}
	for _, t := range resp.GetTrials() {
		v.names = append(v.names, t.GetServer())
	}
	return v
}

func toldWord(t *pb.SinkTrial) string {
	if t.GetProblem() != "" {
		return "no"
	}
	return "yes"
}

func newNotifyRemoveCmd(a *app) *cobra.Command {
	return removeCmd(a, "remove NAME", "Drop a sink that no schedule names, with what it has yet to be told", "sink", a.completeSinks(), pb.ControlServiceClient.RemoveSink,
		func(name, reason string) *pb.RemoveSinkRequest {
			return &pb.RemoveSinkRequest{Id: newID(), Name: name, Reason: reason}
		})
}

// listSinks are all sinks, by name.
func listSinks(ctx context.Context, c *client) (*pb.ListSinksResponse, error) {
	return collect(func(token string) (*pb.ListSinksResponse, error) {
		return ask(ctx, c, pb.ControlServiceClient.ListSinks, &pb.ListSinksRequest{PageSize: pageSize, PageToken: token})
	})
}

func sinksView(resp *pb.ListSinksResponse) view {
	v := view{message: resp, table: func(w io.Writer, wide bool) {
		fmt.Fprintln(w, "SINK\tKIND\tWHERE\tSTATE\tWAITING\tDELIVERED\tDEAD\tLOST\tEVENTS"+when(wide, "\tBY\tWHY"))
		for _, k := range resp.GetSinks() {
			s := k.GetSink()
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s%s\n", s.GetName(), text.Word(s.GetKind()), sinkPlace(s), sinkState(k), k.GetWaiting(), k.GetDelivered(),
				k.GetDeadLetters(), k.GetLost(), strings.Join(s.GetEvents(), " "), when(wide, "\t"+orDash(k.GetBy().GetName())+"\t"+orDash(k.GetBy().GetWhy())))
		}
	}}
	for _, k := range resp.GetSinks() {
		v.names = append(v.names, k.GetSink().GetName())
	}
	return v
}

// sinkPlace is where a sink is, or which secret says so.
func sinkPlace(s *pb.Sink) string {
	if s.GetUrlSecret() != "" {
		return "secret " + s.GetUrlSecret()
	}
	return s.GetUrl()
}

func sinkState(k *pb.KeptSink) string {
	switch {
	case k.GetGone():
		return "gone"
	case k.GetSink().GetNamedOnly():
		return "where named"
	}
	return "all runs"
}
