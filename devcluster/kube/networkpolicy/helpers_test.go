package networkpolicy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
)

// The node of all tests; pods of `elsewhere` are peers only.
const (
	here      = "node-1"
	elsewhere = "node-2"
)

// pod makes a running pod; labels are "key=value".
func pod(namespace, name, node string, addresses []string, labels ...string) *corev1.Pod {
	p := &corev1.Pod{}
	p.Namespace, p.Name, p.UID = namespace, name, types.UID(namespace+"/"+name)
	p.Labels = labelMap(labels)
	p.Spec.NodeName = node
	p.Spec.Containers = []corev1.Container{{Name: "main"}}
	p.Status.Phase = corev1.PodRunning
	for _, address := range addresses {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: address})
	}
	return p
}

func serving(p *corev1.Pod, ports ...corev1.ContainerPort) *corev1.Pod {
	p.Spec.Containers[0].Ports = ports
	return p
}

func namespace(name string, labels ...string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labelMap(labels)}}
}

func labelMap(labels []string) map[string]string {
	m := map[string]string{}
	for _, label := range labels {
		key, value, _ := strings.Cut(label, "=")
		m[key] = value
	}
	return m
}

// newPolicy reads a spec written as YAML.
func newPolicy(t *testing.T, namespace, name, spec string) *networkingv1.NetworkPolicy {
	t.Helper()
	p := &networkingv1.NetworkPolicy{}
	p.Namespace, p.Name = namespace, name
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatalf("policy %s/%s: %v", namespace, name, err)
	}
	return p
}

// A packet is the first one of a connection, after DNAT. ICMP has port 0.
type packet struct {
	from, to netip.Addr
	protocol corev1.Protocol
	port     int32
}

func (p packet) String() string {
	return fmt.Sprintf("%v to %v %s/%d", p.from, p.to, p.protocol, p.port)
}

const icmp corev1.Protocol = "ICMP"

// allows judges a forwarded packet by the data of the ruleset, as the base chains do in the kernel.
func (r *ruleset) allows(p packet) bool {
	if _, ours := r.verdicts[egress][p.from]; ours && p.from == p.to {
		return true
	}
	return r.passes(r.verdicts[egress][p.from], p) && r.passes(r.verdicts[ingress][p.to], p)
}

// passes judges by the chain of one side; "" is an address that is not a pod's of this node.
func (r *ruleset) passes(verdict string, p packet) bool {
	if verdict == open || verdict == "" {
		return true
	}
	return slices.ContainsFunc(r.chains[verdict], func(rule rule) bool { return r.matches(rule, p) })
}

func (r *ruleset) matches(rule rule, p packet) bool {
	peer := map[direction]netip.Addr{ingress: p.from, egress: p.to}[rule.direction]
	if rule.family != "" && rule.family != familyOf(p.to) {
		return false
	}
	if rule.peers != "" {
		set := r.addressSets[rule.peers]
		found := slices.Contains(set.addresses, peer)
		for _, addresses := range set.ranges {
			found = found || addresses.Contains(peer)
		}
		if !found {
			return false
		}
	}
	if rule.protocol != "" && rule.protocol != p.protocol {
		return false
	}
	if rule.named != "" && !slices.Contains(r.socketSets[rule.named].sockets, netip.AddrPortFrom(p.to, uint16(p.port))) {
		return false
	}
	return len(rule.ports) == 0 ||
		slices.ContainsFunc(rule.ports, func(ports portRange) bool { return ports.first <= p.port && p.port <= ports.last })
}

func sidecar(ports ...corev1.ContainerPort) corev1.Container {
	return corev1.Container{Name: "sidecar", Ports: ports, RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}
}
