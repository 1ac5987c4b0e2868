// Package access says who may call what. Its one table has every method of
// every service: which roles it opens to, what it acts on, and what becomes of
// texts that no terminal should be given. What is not in the table is refused.
package access

import (
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"squall/proto/pki"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// Object is what a method acts on.
type Object string

// The objects. Reading changes nothing, whatever it reads.
const (
	Reading Object = "reading"
	Run     Object = "run"
	Host    Object = "host"
	Lever   Object = "lever"
	Session Object = "session"
	Cluster Object = "cluster"
	// Schedule is what begins runs by the calendar: schedules, the files that they
	// pin, and calendars.
	Schedule Object = "schedule"
	// Guard is the guardrails of the cluster, and exceptions to them.
	Guard Object = "guard"
	// Sink is who is told of what happens.
	Sink Object = "sink"
)

// Rule is what holds for a method.
type Rule struct {
	// Roles are those of the certificates that may call it.
	Roles []pb.Role
	// Object is what it acts on.
	Object Object
	// Mends says that texts which can't be shown are replaced and not refused:
	// nothing about a call's words may hold up what takes harm away.
	Mends bool
}

var (
	people  = []pb.Role{pb.Role_ROLE_USER, pb.Role_ROLE_SERVER}
	servers = []pb.Role{pb.Role_ROLE_SERVER}
	agents  = []pb.Role{pb.Role_ROLE_AGENT}
)

var rules = map[string]Rule{
	pb.AgentService_Session_FullMethodName: {Roles: agents, Object: Session, Mends: true},

	pb.ControlService_Plan_FullMethodName:              {Roles: people, Object: Reading},
	pb.ControlService_Run_FullMethodName:               {Roles: people, Object: Run},
	pb.ControlService_Watch_FullMethodName:             {Roles: people, Object: Reading},
	pb.ControlService_Halt_FullMethodName:              {Roles: people, Object: Lever, Mends: true},
	pb.ControlService_Resume_FullMethodName:            {Roles: people, Object: Lever},
	pb.ControlService_Undo_FullMethodName:              {Roles: people, Object: Run, Mends: true},
	pb.ControlService_Status_FullMethodName:            {Roles: people, Object: Reading},
	pb.ControlService_Live_FullMethodName:              {Roles: people, Object: Reading},
	pb.ControlService_ListHosts_FullMethodName:         {Roles: people, Object: Reading},
	pb.ControlService_GetHost_FullMethodName:           {Roles: people, Object: Reading},
	pb.ControlService_ListZones_FullMethodName:         {Roles: people, Object: Reading},
	pb.ControlService_ListRuns_FullMethodName:          {Roles: people, Object: Reading},
	pb.ControlService_GetRun_FullMethodName:            {Roles: people, Object: Reading},
	pb.ControlService_ListAuditRecords_FullMethodName:  {Roles: people, Object: Reading},
	pb.ControlService_ForgetHost_FullMethodName:        {Roles: people, Object: Host},
	pb.ControlService_ConfirmDamage_FullMethodName:     {Roles: people, Object: Host},
	pb.ControlService_ListArchived_FullMethodName:      {Roles: people, Object: Reading},
	pb.ControlService_VerifyArchive_FullMethodName:     {Roles: people, Object: Reading},
	pb.ControlService_ExportArchived_FullMethodName:    {Roles: people, Object: Reading},
	pb.ControlService_PruneArchive_FullMethodName:      {Roles: people, Object: Cluster},
	pb.ControlService_Report_FullMethodName:            {Roles: people, Object: Reading},
	pb.ControlService_PutSchedule_FullMethodName:       {Roles: people, Object: Schedule},
	pb.ControlService_ListSchedules_FullMethodName:     {Roles: people, Object: Reading},
	pb.ControlService_GetSchedule_FullMethodName:       {Roles: people, Object: Reading},
	pb.ControlService_NextSlots_FullMethodName:         {Roles: people, Object: Reading},
	pb.ControlService_PauseSchedule_FullMethodName:     {Roles: people, Object: Schedule},
	pb.ControlService_RemoveSchedule_FullMethodName:    {Roles: people, Object: Schedule},
	pb.ControlService_PutExperiment_FullMethodName:     {Roles: people, Object: Schedule},
	pb.ControlService_ListExperiments_FullMethodName:   {Roles: people, Object: Reading},
	pb.ControlService_GetExperiment_FullMethodName:     {Roles: people, Object: Reading},
	pb.ControlService_RemoveExperiment_FullMethodName:  {Roles: people, Object: Schedule},
	pb.ControlService_PutCalendar_FullMethodName:       {Roles: people, Object: Schedule},
	pb.ControlService_ListCalendars_FullMethodName:     {Roles: people, Object: Reading},
	pb.ControlService_GetCalendar_FullMethodName:       {Roles: people, Object: Reading},
	pb.ControlService_RemoveCalendar_FullMethodName:    {Roles: people, Object: Schedule},
	pb.ControlService_PutSink_FullMethodName:           {Roles: people, Object: Sink},
	pb.ControlService_ListSinks_FullMethodName:         {Roles: people, Object: Reading},
	pb.ControlService_RemoveSink_FullMethodName:        {Roles: people, Object: Sink},
	pb.ControlService_TestSink_FullMethodName:          {Roles: people, Object: Sink},
	pb.ControlService_ListDeadNotices_FullMethodName:   {Roles: people, Object: Reading},
	pb.ControlService_SettleDeadNotices_FullMethodName: {Roles: people, Object: Sink},

	pb.ControlService_Windows_FullMethodName:    {Roles: people, Object: Reading},
	pb.ControlService_History_FullMethodName:    {Roles: people, Object: Reading},
	pb.ControlService_ListDue_FullMethodName:    {Roles: people, Object: Reading},
	pb.ControlService_AcceptTime_FullMethodName: {Roles: people, Object: Cluster},

	pb.ControlService_SetGuard_FullMethodName:            {Roles: people, Object: Guard},
	pb.ControlService_RemoveGuard_FullMethodName:         {Roles: people, Object: Guard},
	pb.ControlService_ListGuards_FullMethodName:          {Roles: people, Object: Reading},
	pb.ControlService_ExplainGuards_FullMethodName:       {Roles: people, Object: Reading},
	pb.ControlService_ExceptGuards_FullMethodName:        {Roles: people, Object: Guard},
	pb.ControlService_ListGuardExceptions_FullMethodName: {Roles: people, Object: Reading},

	pb.PeerService_Propose_FullMethodName:        {Roles: servers, Object: Cluster, Mends: true},
	pb.PeerService_ProposeLarge_FullMethodName:   {Roles: servers, Object: Cluster, Mends: true},
	pb.PeerService_Confirm_FullMethodName:        {Roles: servers, Object: Cluster, Mends: true},
	pb.PeerService_Push_FullMethodName:           {Roles: servers, Object: Cluster, Mends: true},
	pb.PeerService_Alarm_FullMethodName:          {Roles: servers, Object: Lever, Mends: true},
	pb.PeerService_Try_FullMethodName:            {Roles: servers, Object: Reading, Mends: true},
	pb.PeerService_VerifyArchived_FullMethodName: {Roles: servers, Object: Reading, Mends: true},
	pb.PeerService_FetchArchived_FullMethodName:  {Roles: servers, Object: Reading, Mends: true},
	pb.PeerService_TrySink_FullMethodName:        {Roles: servers, Object: Sink, Mends: true},
}

// Of is the rule of a method by its full name, such as "/squall.v1.ControlService/Run".
func Of(method string) (Rule, bool) {
	r, ok := rules[method]
	return r, ok
}

// Check refuses a caller whose role a method does not open to.
func Check(method string, id pki.Identity) error {
	if slices.Contains(rules[method].Roles, id.Role) {
		return nil
	}
	return status.Error(codes.PermissionDenied, fmt.Sprintf("the certificate of %s does not open %s", id, method))
}

// Words checks the texts of a request, or mends them where the rule says so.
func Words(method string, req any) error {
	m, ok := req.(proto.Message)
	if !ok {
		return nil
	}
	if rules[method].Mends {
		text.CleanMessage(m)
		return nil
	}
	return text.Check(m)
}
