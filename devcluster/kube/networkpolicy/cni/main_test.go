package main

import (
	"net/netip"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/google/go-cmp/cmp"

	"k3k-pulumi.io/devcluster/kube/networkpolicy/attach"
)

const configuration = `{"cniVersion": "1.0.0", "name": "pods", "type": "network-policy", "socket": "/run/s", "prevResult":
 {"cniVersion": "1.0.0", "ips": [{"address": "10.244.1.7/32"}, {"address": "fd00::7/128"}]}}`

func TestRequest(t *testing.T) {
	arguments := &skel.CmdArgs{
		ContainerID: "sandbox", StdinData: []byte(configuration),
		Args: "IgnoreUnknown=1;K8S_POD_NAMESPACE=team;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=sandbox;K8S_POD_UID=1-2-3",
	}
	conf, err := parse(arguments)
	if err != nil {
		t.Fatal(err)
	}
	got, err := request(arguments, conf.PrevResult)
	if err != nil {
		t.Fatal(err)
	}
	expected := attach.Request{
		Sandbox: "sandbox", Namespace: "team", Name: "web-0", UID: "1-2-3",
		Addresses: []netip.Addr{netip.MustParseAddr("10.244.1.7"), netip.MustParseAddr("fd00::7")},
	}
	if diff := cmp.Diff(expected, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestRefusals(t *testing.T) {
	for name, text := range map[string]string{
		"no socket":           `{"cniVersion": "1.0.0", "type": "network-policy", "prevResult": {"cniVersion": "1.0.0"}}`,
		"no plugin before it": `{"cniVersion": "1.0.0", "type": "network-policy", "socket": "/run/s"}`,
		"no addresses":        `{"cniVersion": "1.0.0", "type": "network-policy", "socket": "/run/s", "prevResult": {"cniVersion": "1.0.0"}}`,
		"no JSON":             `{`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := add(&skel.CmdArgs{ContainerID: "sandbox", StdinData: []byte(text)}); err == nil {
				t.Error("no error")
			}
		})
	}
}
