package networkpolicy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"go4.org/netipx"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	netutils "k8s.io/utils/net"
)

// peers gives rules with only the peers filled in: one that matches all when there is no peer in the list, else
// one for each set of addresses that is not empty (possibly none).
func (c *compiler) peers(p *networkingv1.NetworkPolicy, peers []networkingv1.NetworkPolicyPeer) []rule {
	if len(peers) == 0 {
		return []rule{{}}
	}
	pods := map[family][]netip.Addr{}
	var blocks netipx.IPSetBuilder
	for _, peer := range peers {
		if peer.IPBlock != nil {
			blocks.AddSet(c.block(p, peer.IPBlock))
			continue
		}
		for _, pod := range c.selectedPods(p, peer) {
			for _, address := range c.addresses[pod.UID] {
				pods[familyOf(address)] = append(pods[familyOf(address)], address)
			}
		}
	}
	ranges := map[family][]netipx.IPRange{}
	for _, r := range c.finished(&blocks, p).Ranges() {
		ranges[familyOf(r.From())] = append(ranges[familyOf(r.From())], r)
	}
	var rules []rule
	for _, f := range families {
		if len(pods[f]) > 0 {
			slices.SortFunc(pods[f], netip.Addr.Compare)
			set := addressSet{family: f, addresses: slices.Compact(pods[f])}
			rules = append(rules, rule{family: f, peers: c.ruleset.addAddressSet("pods", set)})
		}
		if len(ranges[f]) > 0 {
			set := addressSet{family: f, ranges: ranges[f]}
			rules = append(rules, rule{family: f, peers: c.ruleset.addAddressSet("block", set)})
		}
	}
	return rules
}

// selectedPods are the pods of a peer. A podSelector alone means the policy's own namespace, a namespaceSelector alone
// all pods of the namespaces.
func (c *compiler) selectedPods(p *networkingv1.NetworkPolicy, peer networkingv1.NetworkPolicyPeer) []*corev1.Pod {
	podSelector := labels.Everything()
	if peer.PodSelector != nil {
		podSelector = c.selector(p, peer.PodSelector, labels.Nothing())
	}
	namespaces := []string{p.Namespace}
	if peer.NamespaceSelector != nil {
		namespaces = nil
		namespaceSelector := c.selector(p, peer.NamespaceSelector, labels.Nothing())
		for _, namespace := range c.namespaces {
			if namespaceSelector.Matches(labels.Set(namespace.Labels)) {
				namespaces = append(namespaces, namespace.Name)
			}
		}
	}
	var pods []*corev1.Pod
	for _, namespace := range namespaces {
		for _, pod := range c.podsIn[namespace] {
			if podSelector.Matches(labels.Set(pod.Labels)) {
				pods = append(pods, pod)
			}
		}
	}
	return pods
}

// block is the addresses of an ipBlock: its range without the excepted ones.
func (c *compiler) block(p *networkingv1.NetworkPolicy, block *networkingv1.IPBlock) *netipx.IPSet {
	var addresses netipx.IPSetBuilder
	prefix, err := parsePrefix(block.CIDR)
	if err != nil {
		c.problem(p, "ipBlock.cidr", err)
		return c.finished(&addresses, p)
	}
	addresses.AddPrefix(prefix)
	for _, except := range block.Except {
		prefix, err := parsePrefix(except)
		if err != nil {
			c.problem(p, "ipBlock.except", err)
			return c.finished(&netipx.IPSetBuilder{}, p)
		}
		addresses.RemovePrefix(prefix)
	}
	return c.finished(&addresses, p)
}

// parsePrefix reads a CIDR as the API server does: with leading zeros, and with bits set beyond the prefix.
func parsePrefix(cidr string) (netip.Prefix, error) {
	_, network, err := netutils.ParseCIDRSloppy(cidr)
	if err != nil {
		return netip.Prefix{}, err
	}
	prefix, ok := netipx.FromStdIPNet(network)
	if !ok {
		return netip.Prefix{}, fmt.Errorf("%q is not a range of addresses", cidr)
	}
	return prefix, nil
}

func (c *compiler) finished(builder *netipx.IPSetBuilder, p *networkingv1.NetworkPolicy) *netipx.IPSet {
	set, err := builder.IPSet()
	if err != nil {
		c.problem(p, "ipBlock", err)
		return &netipx.IPSet{}
	}
	return set
}

// ports gives rules with only the ports filled in: one that matches all, also what has no ports (ICMP), when there is no port in
// the list; else one for each protocol's numbers, and one for each named port and family that some pod serves.
func (c *compiler) ports(ports []networkingv1.NetworkPolicyPort) []rule {
	if len(ports) == 0 {
		return []rule{{}}
	}
	var rules []rule
	numbers := map[corev1.Protocol][]portRange{}
	for _, port := range ports {
		protocol := corev1.ProtocolTCP
		if port.Protocol != nil {
			protocol = *port.Protocol
		}
		switch {
		case port.Port == nil:
			rules = append(rules, rule{protocol: protocol})
		case port.Port.Type == intstr.String:
			rules = append(rules, c.namedPort(protocol, port.Port.StrVal)...)
		default:
			last := port.Port.IntVal
			if port.EndPort != nil {
				last = *port.EndPort
			}
			numbers[protocol] = append(numbers[protocol], portRange{port.Port.IntVal, last})
		}
	}
	for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
		if ranges := numbers[protocol]; len(ranges) > 0 {
			rules = append(rules, rule{protocol: protocol, ports: disjoint(ranges)})
		}
	}
	return rules
}

// disjoint sorts the ranges and joins those that overlap, which nftables refuses in one set.
func disjoint(ranges []portRange) []portRange {
	slices.SortFunc(ranges, func(a, b portRange) int { return cmp.Compare(a.first, b.first) })
	joined := ranges[:1]
	for _, r := range ranges[1:] {
		if end := &joined[len(joined)-1]; r.first <= end.last {
			end.last = max(end.last, r.last)
		} else {
			joined = append(joined, r)
		}
	}
	return joined
}

// namedPort gives a rule for each family. In both directions it is the destination that gives the name its number: for
// ingress the selected pod, for egress the peer.
func (c *compiler) namedPort(protocol corev1.Protocol, name string) []rule {
	var rules []rule
	for _, f := range families {
		key := fmt.Sprintf("%s %s %s", f, protocol, name)
		set, made := c.sockets[key]
		if !made {
			if sockets := c.socketsOf(f, protocol, name); len(sockets) > 0 {
				set = c.ruleset.addSocketSet("port", socketSet{family: f, sockets: sockets})
			}
			c.sockets[key] = set
		}
		if set != "" {
			rules = append(rules, rule{family: f, protocol: protocol, named: set})
		}
	}
	return rules
}

func (c *compiler) socketsOf(f family, protocol corev1.Protocol, name string) []netip.AddrPort {
	var sockets []netip.AddrPort
	for _, pod := range c.pods {
		for _, number := range namedPorts(pod, protocol, name) {
			for _, address := range c.addresses[pod.UID] {
				if familyOf(address) == f {
					sockets = append(sockets, netip.AddrPortFrom(address, number))
				}
			}
		}
	}
	slices.SortFunc(sockets, netip.AddrPort.Compare)
	return slices.Compact(sockets)
}

// namedPorts are the numbers that the containers of the pod (sidecars too) give the name.
func namedPorts(pod *corev1.Pod, protocol corev1.Protocol, name string) []uint16 {
	var numbers []uint16
	find := func(container corev1.Container) {
		for _, port := range container.Ports {
			if port.Name == name && cmp.Or(port.Protocol, corev1.ProtocolTCP) == protocol {
				numbers = append(numbers, uint16(port.ContainerPort))
			}
		}
	}
	for _, container := range pod.Spec.Containers {
		find(container)
	}
	for _, container := range pod.Spec.InitContainers {
		if container.RestartPolicy != nil && *container.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			find(container)
		}
	}
	return numbers
}

// selector is that of the API type, or otherwise when it cannot be read.
func (c *compiler) selector(p *networkingv1.NetworkPolicy, selector *metav1.LabelSelector, otherwise labels.Selector) labels.Selector {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		c.problem(p, "selector", err)
		return otherwise
	}
	return parsed
}

func (c *compiler) problem(p *networkingv1.NetworkPolicy, field string, err error) {
	c.problems = append(c.problems, fmt.Errorf("NetworkPolicy %s/%s: %s: %w; it allows nothing by this", p.Namespace, p.Name, field, err))
}
