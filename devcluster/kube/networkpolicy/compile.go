package networkpolicy

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// A Snapshot is what the ruleset of a node is computed from.
type Snapshot struct {
	// Node is the name of the node whose pods are filtered.
	Node       string
	Pods       []*corev1.Pod
	Namespaces []*corev1.Namespace
	Policies   []*networkingv1.NetworkPolicy
	// Attached are the addresses that pods of this node have according to the CNI plugin, by UID. They come before
	// status.podIPs does, and they are right where that is out of date.
	Attached map[types.UID][]netip.Addr
}

// compile gives the ruleset for the snapshot's node. What it cannot read in a policy it reports, and allows nothing for it.
func compile(snapshot Snapshot) (*ruleset, []error) {
	c := newCompiler(snapshot)
	for _, pod := range c.pods {
		if pod.Spec.NodeName != snapshot.Node {
			continue
		}
		for _, d := range []direction{ingress, egress} {
			verdict := c.verdict(d, pod)
			for _, address := range c.addresses[pod.UID] {
				c.ruleset.verdicts[d][address] = verdict
			}
		}
	}
	return c.ruleset, c.problems
}

type compiler struct {
	ruleset  *ruleset
	problems []error

	// pods are those that have an address of their own, ordered by namespace and name.
	pods       []*corev1.Pod
	podsIn     map[string][]*corev1.Pod // by namespace
	addresses  map[types.UID][]netip.Addr
	namespaces []*corev1.Namespace
	policies   map[string][]*policy // by namespace
	// chains by direction and the policies they come from; socket sets by family, protocol and port name.
	chains  map[string]string
	sockets map[string]string
}

// A policy with what is computed from it once.
type policy struct {
	*networkingv1.NetworkPolicy
	subjects labels.Selector
	rules    map[direction][]rule
}

func newCompiler(snapshot Snapshot) *compiler {
	c := &compiler{
		ruleset:    newRuleset(),
		podsIn:     map[string][]*corev1.Pod{},
		addresses:  ownedAddresses(snapshot),
		namespaces: snapshot.Namespaces,
		policies:   map[string][]*policy{},
		chains:     map[string]string{},
		sockets:    map[string]string{},
	}
	for _, pod := range snapshot.Pods {
		if len(c.addresses[pod.UID]) > 0 {
			c.pods = append(c.pods, pod)
		}
	}
	slices.SortFunc(c.pods, func(a, b *corev1.Pod) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	for _, pod := range c.pods {
		c.podsIn[pod.Namespace] = append(c.podsIn[pod.Namespace], pod)
	}
	policies := slices.SortedFunc(slices.Values(snapshot.Policies), func(a, b *networkingv1.NetworkPolicy) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	for _, object := range policies {
		p := &policy{NetworkPolicy: object, rules: map[direction][]rule{}}
		p.subjects = c.selector(object, &object.Spec.PodSelector, labels.Everything())
		c.policies[object.Namespace] = append(c.policies[object.Namespace], p)
	}
	return c
}

// ownedAddresses gives each pod the addresses that are its own and no other's.
//
// Pods of the host network have none: to a policy they are their node. Terminated ones have none any more. An address
// that two pods name (one is on its way out) belongs to the one that CNI reported, else to the newest.
func ownedAddresses(snapshot Snapshot) map[types.UID][]netip.Addr {
	type claim struct {
		pod      *corev1.Pod
		attached bool
	}
	owners := map[netip.Addr]claim{}
	better := func(a, b claim) bool {
		if a.attached != b.attached {
			return a.attached
		}
		if !a.pod.CreationTimestamp.Equal(&b.pod.CreationTimestamp) {
			return b.pod.CreationTimestamp.Before(&a.pod.CreationTimestamp)
		}
		return a.pod.UID > b.pod.UID
	}
	for _, pod := range snapshot.Pods {
		if pod.Spec.HostNetwork || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		addresses, attached := snapshot.Attached[pod.UID]
		if !attached {
			addresses = statusAddresses(pod)
		}
		for _, address := range addresses {
			mine := claim{pod, attached}
			if other, taken := owners[address]; !taken || better(mine, other) {
				owners[address] = mine
			}
		}
	}
	owned := map[types.UID][]netip.Addr{}
	for address, owner := range owners {
		owned[owner.pod.UID] = append(owned[owner.pod.UID], address)
	}
	for _, addresses := range owned {
		slices.SortFunc(addresses, netip.Addr.Compare)
	}
	return owned
}

func statusAddresses(pod *corev1.Pod) []netip.Addr {
	var addresses []netip.Addr
	for _, ip := range pod.Status.PodIPs {
		if address, err := netip.ParseAddr(ip.IP); err == nil {
			addresses = append(addresses, address.Unmap())
		}
	}
	return addresses
}

// verdict is the name of the chain that judges the pod's traffic in direction d, or open.
func (c *compiler) verdict(d direction, pod *corev1.Pod) string {
	var selecting []*policy
	key := string(d) + " " + pod.Namespace
	for _, p := range c.policies[pod.Namespace] {
		if applies(p.NetworkPolicy, d) && p.subjects.Matches(labels.Set(pod.Labels)) {
			selecting = append(selecting, p)
			key += " " + p.Name
		}
	}
	if len(selecting) == 0 {
		return open
	}
	name, made := c.chains[key]
	if !made {
		var rules chain
		for _, p := range selecting {
			rules = append(rules, c.rules(d, p)...)
		}
		name = c.ruleset.addChain(d, rules)
		c.chains[key] = name
	}
	return name
}

// applies tells whether the policy isolates in direction d. Without policyTypes every policy is one for ingress, and one
// with egress rules is also one for egress.
func applies(p *networkingv1.NetworkPolicy, d direction) bool {
	if len(p.Spec.PolicyTypes) == 0 {
		return d == ingress || len(p.Spec.Egress) > 0
	}
	wanted := map[direction]networkingv1.PolicyType{
		ingress: networkingv1.PolicyTypeIngress, egress: networkingv1.PolicyTypeEgress,
	}[d]
	return slices.Contains(p.Spec.PolicyTypes, wanted)
}

// rules are what the policy allows in direction d.
func (c *compiler) rules(d direction, p *policy) []rule {
	if rules, made := p.rules[d]; made {
		return rules
	}
	var rules []rule
	add := func(peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) {
		for _, match := range c.peers(p.NetworkPolicy, peers) {
			for _, r := range c.ports(ports) {
				if match.family != "" && r.family != "" && match.family != r.family {
					continue
				}
				r.direction, r.peers = d, match.peers
				r.family = cmp.Or(match.family, r.family)
				r.policy = p.Namespace + "/" + p.Name
				rules = append(rules, r)
			}
		}
	}
	if d == ingress {
		for _, r := range p.Spec.Ingress {
			add(r.From, r.Ports)
		}
	} else {
		for _, r := range p.Spec.Egress {
			add(r.To, r.Ports)
		}
	}
	p.rules[d] = rules
	return rules
}
