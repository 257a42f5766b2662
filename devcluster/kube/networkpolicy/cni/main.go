// network-policy: a chained CNI plugin that holds a pod back until the node's network policy enforcer has its rules in the kernel.
//
// Without it an enforcer learns a pod's addresses from status.podIPs, about a second after the pod's processes started. It goes
// last in the list of plugins: {"type": "network-policy", "socket": "<--cni-socket of the enforcer>"}.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"k3k-pulumi.io/devcluster/kube/networkpolicy/attach"
)

const (
	// addTimeout is well below the kubelet's runtimeRequestTimeout (2 minutes by default); it tries again after that.
	addTimeout = 30 * time.Second
	// delTimeout is short: a pod must be removable without an enforcer.
	delTimeout = 500 * time.Millisecond
)

type config struct {
	types.PluginConf
	Socket string `json:"socket"`
}

// podArguments are the CNI_ARGS of every CRI runtime.
type podArguments struct {
	types.CommonArgs
	K8S_POD_NAMESPACE types.UnmarshallableString
	K8S_POD_NAME      types.UnmarshallableString
	K8S_POD_UID       types.UnmarshallableString
}

func main() {
	skel.PluginMainFuncs(skel.CNIFuncs{Add: add, Del: del, Check: check}, version.All, "network-policy: waits for a pod's rules")
}

func parse(arguments *skel.CmdArgs) (config, error) {
	var conf config
	if err := json.Unmarshal(arguments.StdinData, &conf); err != nil {
		return conf, err
	}
	if conf.Socket == "" {
		return conf, errors.New("network-policy: the configuration has no socket: give the path that the enforcer's --cni-socket has")
	}
	if err := version.ParsePrevResult(&conf.PluginConf); err != nil {
		return conf, err
	}
	return conf, nil
}

func add(arguments *skel.CmdArgs) error {
	conf, err := parse(arguments)
	if err != nil {
		return err
	}
	if conf.PrevResult == nil {
		return errors.New("network-policy: no prevResult: it comes after the plugin that gives the pod its addresses")
	}
	request, err := request(arguments, conf.PrevResult)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), addTimeout)
	defer cancel()
	if err := attach.Call(ctx, conf.Socket, request); err != nil {
		return fmt.Errorf("network-policy: pod %s/%s: %w", request.Namespace, request.Name, err)
	}
	return types.PrintResult(conf.PrevResult, conf.CNIVersion)
}

func request(arguments *skel.CmdArgs, previous types.Result) (attach.Request, error) {
	var pod podArguments
	pod.IgnoreUnknown = true
	if err := types.LoadArgs(arguments.Args, &pod); err != nil {
		return attach.Request{}, err
	}
	result, err := current.NewResultFromResult(previous)
	if err != nil {
		return attach.Request{}, err
	}
	request := attach.Request{
		Sandbox:   arguments.ContainerID,
		Namespace: string(pod.K8S_POD_NAMESPACE),
		Name:      string(pod.K8S_POD_NAME),
		UID:       string(pod.K8S_POD_UID),
	}
	for _, ip := range result.IPs {
		address, ok := netip.AddrFromSlice(ip.Address.IP)
		if !ok {
			return attach.Request{}, fmt.Errorf("network-policy: prevResult: %q is not an address", ip.Address.IP)
		}
		request.Addresses = append(request.Addresses, address.Unmap())
	}
	if len(request.Addresses) == 0 {
		return attach.Request{}, errors.New("network-policy: prevResult has no addresses")
	}
	return request, nil
}

func del(arguments *skel.CmdArgs) error {
	conf, err := parse(arguments)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), delTimeout)
	defer cancel()
	// What an enforcer misses here it forgets when the pod has gone.
	_ = attach.Call(ctx, conf.Socket, attach.Request{Sandbox: arguments.ContainerID})
	return nil
}

func check(arguments *skel.CmdArgs) error {
	_, err := parse(arguments)
	return err
}
