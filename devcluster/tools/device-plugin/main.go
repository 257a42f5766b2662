// Command device-plugin gives a node devices of a resource for tests: the kubelet counts them, and a container
// that gets some finds their names in a variable, and a device file for each.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	source = "/dev/null" // what the device files are on the node: a device that every node has
	check  = time.Second // a kubelet that starts again removes the sockets of all plugins
)

type plugin struct {
	api.UnimplementedDevicePluginServer
	devices  []*api.Device
	variable string
}

func main() {
	resource := flag.String("resource", "example.com/gpu", "name of the resource")
	count := flag.Int("devices", 2, "how many of it the node has")
	folder := flag.String("folder", api.DevicePluginPath, "folder of the kubelet's sockets")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	for ctx.Err() == nil {
		if err := serve(ctx, *folder, *resource, *count); err != nil && ctx.Err() == nil {
			log.Print(err)
			select {
			case <-ctx.Done():
			case <-time.After(check):
			}
		}
	}
}

// serve has the kubelet know the devices, until the socket is gone.
func serve(ctx context.Context, folder, resource string, count int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	name := strings.ReplaceAll(resource, "/", "-")
	socket := filepath.Join(folder, name+".sock")
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	defer server.Stop()
	api.RegisterDevicePluginServer(server, newPlugin(resource, count))
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	if err := register(ctx, folder, filepath.Base(socket), resource); err != nil {
		return err
	}
	log.Printf("%d devices of %s", count, resource)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-time.After(check):
			if _, err := os.Stat(socket); err != nil {
				return fmt.Errorf("the kubelet starts anew: %w", err)
			}
		}
	}
}

func newPlugin(resource string, count int) *plugin {
	kind := resource[strings.LastIndex(resource, "/")+1:]
	made := &plugin{variable: strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(kind)) + "_DEVICES"}
	for n := range count {
		device := &api.Device{ID: fmt.Sprintf("%s-%d", kind, n), Health: api.Healthy}
		made.devices = append(made.devices, device)
	}
	return made
}

func register(ctx context.Context, folder, socket, resource string) error {
	connection, err := grpc.NewClient(
		"unix://"+filepath.Join(folder, filepath.Base(api.KubeletSocket)),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	)
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request := &api.RegisterRequest{Version: api.Version, Endpoint: socket, ResourceName: resource}
	_, err = api.NewRegistrationClient(connection).Register(ctx, request)
	return err
}

func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

// ListAndWatch tells the devices once, as none ever fails. Its end would be the end of them.
func (p *plugin) ListAndWatch(_ *api.Empty, stream api.DevicePlugin_ListAndWatchServer) error {
	if err := stream.Send(&api.ListAndWatchResponse{Devices: p.devices}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// Allocate gives a container its devices: `<RESOURCE>_DEVICES=gpu-0,gpu-1`, and the files /dev/gpu-0, /dev/gpu-1.
func (p *plugin) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	response := &api.AllocateResponse{}
	for _, each := range request.ContainerRequests {
		given := &api.ContainerAllocateResponse{
			Envs: map[string]string{p.variable: strings.Join(each.DevicesIds, ",")},
		}
		for _, id := range each.DevicesIds {
			device := &api.DeviceSpec{HostPath: source, ContainerPath: "/dev/" + id, Permissions: "rw"}
			given.Devices = append(given.Devices, device)
		}
		response.ContainerResponses = append(response.ContainerResponses, given)
	}
	return response, nil
}
