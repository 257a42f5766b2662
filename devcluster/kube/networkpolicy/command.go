// Package networkpolicy enforces networking.k8s.io/v1 NetworkPolicies on one node, with nftables. It needs pods whose
// packets pass the node's forward hook (the CNI plugin ptp), and runs in the node's network namespace.
package networkpolicy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"k3k-pulumi.io/devcluster/kube/networkpolicy/attach"
)

type options struct {
	kubeconfig    string
	node          string
	podInterfaces string
	cniSocket     string
	syncPeriod    time.Duration
}

// NewCommand is the command `network-policy`.
func NewCommand() *cobra.Command {
	o := &options{}
	command := &cobra.Command{
		Use:   "network-policy",
		Short: "Enforces NetworkPolicies for the pods of one node",
		Long: "Enforces NetworkPolicies for the pods of one node, with the nftables table inet " + table + ".\n" +
			"It runs in the node's network namespace, needs the program nft, and the right to list and watch pods, namespaces and networkpolicies.",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return o.run(ctx)
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of the API server (required)")
	flags.StringVar(&o.node, "node", "", "name of the Node whose pods are filtered (required)")
	flags.StringVar(&o.podInterfaces, "pod-interfaces", "veth*", "pattern of the names of the node's ends of pod interfaces; no other interface may match")
	flags.StringVar(&o.cniSocket, "cni-socket", "", "path of the socket for the CNI plugin network-policy; without it a pod's traffic is dropped until its status has its address")
	flags.DurationVar(&o.syncPeriod, "sync-period", time.Minute, "time after which the table is written anew though nothing changed")
	for _, required := range []string{"kubeconfig", "node"} {
		if err := command.MarkFlagRequired(required); err != nil {
			panic(err)
		}
	}
	return command
}

func (o *options) run(ctx context.Context) error {
	if o.syncPeriod <= 0 {
		return fmt.Errorf("--sync-period: %v is not allowed, it must be above 0", o.syncPeriod)
	}
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	e, err := newEnforcer(ctx, client, o)
	if err != nil {
		return err
	}
	if o.cniSocket != "" {
		listener, err := listen(o.cniSocket)
		if err != nil {
			return err
		}
		defer listener.Close()
		go func() {
			if err := attach.Serve(ctx, listener, e.attachments.handle); err != nil {
				klog.ErrorS(err, "The CNI plugin is answered no more")
			}
		}()
	}
	e.run(ctx)
	return nil
}

// listen opens the socket for root alone; a file left by an enforcer before this one is replaced.
func listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return listener, os.Chmod(path, 0o600)
}
