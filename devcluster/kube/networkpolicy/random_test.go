package networkpolicy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// oracle answers from the policies themselves, one packet at a time, with none of the compiler's shortcuts.
type oracle struct{ Snapshot }

func (o oracle) allows(p packet) bool {
	from, to := o.podAt(p.from), o.podAt(p.to)
	if p.from == p.to && from != nil && from.Spec.NodeName == o.Node {
		return true
	}
	return o.side(egress, from, to, to, p.to, p) && o.side(ingress, to, from, to, p.from, p)
}

func (o oracle) podAt(address netip.Addr) *corev1.Pod {
	for _, pod := range o.Pods {
		for _, ip := range pod.Status.PodIPs {
			if ip.IP == address.String() {
				return pod
			}
		}
	}
	return nil
}

func (o oracle) side(d direction, subject, peer, destination *corev1.Pod, peerAddress netip.Addr, p packet) bool {
	if subject == nil || subject.Spec.NodeName != o.Node {
		return true
	}
	isolated := false
	for _, policy := range o.Policies {
		if policy.Namespace != subject.Namespace || !selects(&policy.Spec.PodSelector, subject.Labels) {
			continue
		}
		for _, policyType := range policy.Spec.PolicyTypes {
			isolated = isolated || strings.EqualFold(string(policyType), string(d))
		}
		rules := policy.Spec.Ingress
		if d == egress {
			rules = nil
			for _, rule := range policy.Spec.Egress {
				rules = append(rules, networkingv1.NetworkPolicyIngressRule{From: rule.To, Ports: rule.Ports})
			}
		}
		for _, rule := range rules {
			if o.peer(policy.Namespace, rule.From, peer, peerAddress) && port(rule.Ports, destination, p) {
				return true
			}
		}
	}
	return !isolated
}

func selects(selector *metav1.LabelSelector, set map[string]string) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		panic(err)
	}
	return parsed.Matches(labels.Set(set))
}

func (o oracle) peer(namespace string, peers []networkingv1.NetworkPolicyPeer, pod *corev1.Pod, address netip.Addr) bool {
	if len(peers) == 0 {
		return true
	}
	for _, peer := range peers {
		if peer.IPBlock != nil {
			inside := netip.MustParsePrefix(peer.IPBlock.CIDR).Contains(address)
			for _, except := range peer.IPBlock.Except {
				inside = inside && !netip.MustParsePrefix(except).Contains(address)
			}
			if inside {
				return true
			}
			continue
		}
		if pod == nil || peer.PodSelector != nil && !selects(peer.PodSelector, pod.Labels) {
			continue
		}
		if peer.NamespaceSelector == nil {
			if pod.Namespace == namespace {
				return true
			}
			continue
		}
		for _, object := range o.Namespaces {
			if object.Name == pod.Namespace && selects(peer.NamespaceSelector, object.Labels) {
				return true
			}
		}
	}
	return false
}

func port(ports []networkingv1.NetworkPolicyPort, destination *corev1.Pod, p packet) bool {
	if len(ports) == 0 {
		return true
	}
	for _, port := range ports {
		if *port.Protocol != p.protocol {
			continue
		}
		switch {
		case port.Port == nil:
			return true
		case port.Port.Type == intstr.String:
			for _, named := range podPorts(destination) {
				if named.Name == port.Port.StrVal && named.Protocol == p.protocol && named.ContainerPort == p.port {
					return true
				}
			}
		case port.EndPort != nil:
			if port.Port.IntVal <= p.port && p.port <= *port.EndPort {
				return true
			}
		case port.Port.IntVal == p.port:
			return true
		}
	}
	return false
}

func podPorts(pod *corev1.Pod) []corev1.ContainerPort {
	if pod == nil {
		return nil
	}
	return pod.Spec.Containers[0].Ports
}

// chance makes random objects out of few values, so that they meet often.
type chance struct{ *rand.Rand }

func pick[T any](c chance, values ...T) T { return values[c.IntN(len(values))] }

func (c chance) labels() []string {
	return []string{"a=" + pick(c, "0", "1"), "b=" + pick(c, "0", "1", "2")}
}

func (c chance) selector() *metav1.LabelSelector {
	switch c.IntN(4) {
	case 0:
		return &metav1.LabelSelector{}
	case 1:
		return &metav1.LabelSelector{MatchLabels: map[string]string{"a": pick(c, "0", "1")}}
	default:
		operator := pick(c, metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn)
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "b", Operator: operator, Values: []string{"0", pick(c, "1", "2")}}}}
	}
}

func (c chance) port() networkingv1.NetworkPolicyPort {
	port := networkingv1.NetworkPolicyPort{Protocol: ptr.To(pick(c, corev1.ProtocolTCP, corev1.ProtocolUDP))}
	switch c.IntN(4) {
	case 0:
	case 1:
		port.Port = ptr.To(intstr.FromString(pick(c, "http", "dns")))
	case 2:
		port.Port, port.EndPort = ptr.To(intstr.FromInt32(1+c.Int32N(2))), ptr.To(2+c.Int32N(3))
	default:
		port.Port = ptr.To(intstr.FromInt32(1 + c.Int32N(4)))
	}
	return port
}

func (c chance) rule() networkingv1.NetworkPolicyIngressRule {
	rule := networkingv1.NetworkPolicyIngressRule{}
	for range c.IntN(3) {
		peer := networkingv1.NetworkPolicyPeer{}
		switch c.IntN(4) {
		case 0:
			peer.PodSelector = c.selector()
		case 1:
			peer.NamespaceSelector = c.selector()
		case 2:
			peer.PodSelector, peer.NamespaceSelector = c.selector(), c.selector()
		default:
			peer.IPBlock = pick(c,
				&networkingv1.IPBlock{CIDR: "10.0.0.0/8", Except: []string{pick(c, "10.0.0.0/29", "10.0.1.0/24"), "10.0.0.4/32"}},
				&networkingv1.IPBlock{CIDR: "10.0.0.0/30"}, &networkingv1.IPBlock{CIDR: "0.0.0.0/0"},
				&networkingv1.IPBlock{CIDR: "fd00::/64", Except: []string{"fd00::8/125"}}, &networkingv1.IPBlock{CIDR: "::/0"})
		}
		rule.From = append(rule.From, peer)
	}
	for range c.IntN(3) {
		rule.Ports = append(rule.Ports, c.port())
	}
	return rule
}

func (c chance) snapshot() Snapshot {
	s := Snapshot{Node: here}
	for i := range 3 {
		s.Namespaces = append(s.Namespaces, namespace(fmt.Sprint("ns-", i), c.labels()...))
	}
	for i := range 10 {
		addresses := []string{fmt.Sprintf("10.0.%d.%d", i%2, i+1), fmt.Sprintf("fd00::%x", i+1)}
		p := pod(fmt.Sprint("ns-", c.IntN(3)), fmt.Sprint("pod-", i), pick(c, here, elsewhere), addresses, c.labels()...)
		s.Pods = append(s.Pods, serving(p,
			corev1.ContainerPort{Name: "http", ContainerPort: 1 + c.Int32N(4), Protocol: pick(c, corev1.ProtocolTCP, corev1.ProtocolUDP)},
			corev1.ContainerPort{Name: "dns", ContainerPort: 1 + c.Int32N(4), Protocol: corev1.ProtocolUDP}))
	}
	for i := range 1 + c.IntN(5) {
		p := &networkingv1.NetworkPolicy{}
		p.Namespace, p.Name = fmt.Sprint("ns-", c.IntN(3)), fmt.Sprint("policy-", i)
		p.Spec.PodSelector = *c.selector()
		p.Spec.PolicyTypes = pick(c, []networkingv1.PolicyType{"Ingress"}, []networkingv1.PolicyType{"Egress"}, []networkingv1.PolicyType{"Ingress", "Egress"})
		for _, policyType := range p.Spec.PolicyTypes {
			for range c.IntN(3) {
				rule := c.rule()
				if policyType == networkingv1.PolicyTypeIngress {
					p.Spec.Ingress = append(p.Spec.Ingress, rule)
				} else {
					p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: rule.From, Ports: rule.Ports})
				}
			}
		}
		s.Policies = append(s.Policies, p)
	}
	return s
}

// TestRandomPoliciesAgainstTheirText compares every pair of addresses, for every protocol and port in use.
func TestRandomPoliciesAgainstTheirText(t *testing.T) {
	answers := map[bool]int{}
	for seed := range uint64(60) {
		snapshot := chance{rand.New(rand.NewPCG(seed, 0))}.snapshot()
		ruleset, problems := compile(snapshot)
		if len(problems) > 0 {
			t.Fatalf("seed %d: %v", seed, problems)
		}
		for _, p := range everyPacket(snapshot) {
			expected := oracle{snapshot}.allows(p)
			answers[expected]++
			if got := ruleset.allows(p); got != expected {
				t.Fatalf("seed %d, %v: allowed is %v, expected %v\n%s", seed, p, got, expected, ruleset.Script("veth*"))
			}
		}
	}
	if answers[true] < 10000 || answers[false] < 10000 {
		t.Errorf("too few of one answer to prove anything: %v", answers)
	}
}

func everyPacket(snapshot Snapshot) []packet {
	byFamily := map[family][]netip.Addr{
		ipv4: {netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("10.9.9.9")},
		ipv6: {netip.MustParseAddr("2001:db8::1")},
	}
	for _, pod := range snapshot.Pods {
		for _, address := range statusAddresses(pod) {
			byFamily[familyOf(address)] = append(byFamily[familyOf(address)], address)
		}
	}
	var packets []packet
	for _, addresses := range byFamily {
		for _, from := range addresses {
			for _, to := range addresses {
				packets = append(packets, packet{from, to, icmp, 0})
				for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
					for number := int32(1); number <= 5; number++ {
						packets = append(packets, packet{from, to, protocol, number})
					}
				}
			}
		}
	}
	return packets
}
