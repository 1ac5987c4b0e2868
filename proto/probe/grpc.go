package probe

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	pb "squall/proto/squall/v1"
)

// checkHealth asks the health service on a fresh connection, without a proxy,
// and succeeds when it serves.
func checkHealth(ctx context.Context, p *pb.GRPCProbe) error {
	conn, err := grpc.NewClient("passthrough:///"+p.GetAddress(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(), grpc.WithUserAgent(userAgent))
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: p.GetService()})
	if err != nil {
		return err
	}
	if s := answer.GetStatus(); s != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("health is %s, want SERVING", s)
	}
	return nil
}
