module k3k-pulumi.io/devcluster/tools/device-plugin

go 1.26.4

require (
	google.golang.org/grpc v1.84.0
	k8s.io/kubelet v0.34.4
)

require (
	golang.org/x/net v0.57.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/text v0.40.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260706201446-f0a921348800 // indirect
	google.golang.org/protobuf v1.36.11 // indirect
)
