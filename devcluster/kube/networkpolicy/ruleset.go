package networkpolicy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"
	corev1 "k8s.io/api/core/v1"
)

// table is the only nftables table the enforcer touches, of family inet (IPv4 and IPv6).
const table = "kube-network-policy"

// A direction is seen from the pod that a policy selects.
type direction string

const (
	ingress direction = "ingress"
	egress  direction = "egress"
)

// A family is nftables' word for it in a rule: "ip" or "ip6".
type family string

const (
	ipv4 family = "ip"
	ipv6 family = "ip6"
)

var families = []family{ipv4, ipv6}

func familyOf(address netip.Addr) family {
	if address.Is4() {
		return ipv4
	}
	return ipv6
}

func (f family) addressType() string {
	return map[family]string{ipv4: "ipv4_addr", ipv6: "ipv6_addr"}[f]
}

// An addressSet is a named set of addresses of one family: single ones (a hash set) or ranges (an interval set,
// whose elements nftables wants sorted and disjoint, which is how netipx.IPSet gives them).
type addressSet struct {
	family    family
	addresses []netip.Addr
	ranges    []netipx.IPRange
}

func (s addressSet) String() string {
	elements := make([]string, 0, len(s.addresses)+len(s.ranges))
	for _, address := range s.addresses {
		elements = append(elements, address.String())
	}
	for _, r := range s.ranges {
		elements = append(elements, r.From().String()+"-"+r.To().String())
	}
	flags := ""
	if len(s.ranges) > 0 {
		flags = "flags interval; "
	}
	return fmt.Sprintf("type %s; %selements = { %s };", s.family.addressType(), flags, strings.Join(elements, ", "))
}

// A socketSet holds the addresses and port numbers that a named port stands for.
type socketSet struct {
	family  family
	sockets []netip.AddrPort
}

func (s socketSet) String() string {
	elements := make([]string, 0, len(s.sockets))
	for _, socket := range s.sockets {
		elements = append(elements, fmt.Sprintf("%s . %d", socket.Addr(), socket.Port()))
	}
	return fmt.Sprintf("type %s . inet_service; elements = { %s };", s.family.addressType(), strings.Join(elements, ", "))
}

// A portRange includes both its ends.
type portRange struct{ first, last int32 }

func (r portRange) String() string {
	if r.first == r.last {
		return fmt.Sprint(r.first)
	}
	return fmt.Sprintf("%d-%d", r.first, r.last)
}

// A rule lets a packet go on that matches all of its fields; an empty field matches every packet.
type rule struct {
	direction direction
	family    family
	// peers names the addressSet of the other side: the source for ingress, the destination for egress.
	peers    string
	protocol corev1.Protocol
	ports    []portRange
	// named names the socketSet of the destination and its port, and needs family and protocol.
	named string
	// policy is the namespace and name of where the rule comes from, for whoever reads `nft list table`.
	policy string
}

func (r rule) String() string {
	var parts []string
	if r.peers != "" {
		side := map[direction]string{ingress: "saddr", egress: "daddr"}[r.direction]
		parts = append(parts, fmt.Sprintf("%s %s @%s", r.family, side, r.peers))
	}
	protocol := strings.ToLower(string(r.protocol))
	switch {
	case r.named != "":
		parts = append(parts, fmt.Sprintf("%s daddr . %s dport @%s", r.family, protocol, r.named))
	case len(r.ports) > 0:
		ports := make([]string, 0, len(r.ports))
		for _, port := range r.ports {
			ports = append(ports, port.String())
		}
		parts = append(parts, fmt.Sprintf("%s dport { %s }", protocol, strings.Join(ports, ", ")))
	case protocol != "":
		parts = append(parts, "meta l4proto "+protocol)
	}
	// nftables takes 128 bytes; names of objects need no escaping.
	comment := r.policy[:min(len(r.policy), 127)]
	return strings.Join(append(parts, "return", fmt.Sprintf("comment \"%s\"", comment)), " ")
}

// A chain holds what the policies that select a pod allow it in one direction; all else is dropped at its end.
type chain []rule

func (c chain) String() string {
	lines := make([]string, 0, len(c)+1)
	for _, rule := range c {
		lines = append(lines, rule.String())
	}
	return strings.Join(append(lines, "drop"), "\n")
}

// open is the verdict for a pod that no policy selects: back to the hook's chain, the packet goes on.
const open = "return"

// A ruleset is the whole table as data.
type ruleset struct {
	addressSets map[string]addressSet
	socketSets  map[string]socketSet
	chains      map[string]chain
	// verdicts tells for each address of a pod on this node the name of its chain, or open.
	verdicts map[direction]map[netip.Addr]string
}

func newRuleset() *ruleset {
	return &ruleset{
		addressSets: map[string]addressSet{},
		socketSets:  map[string]socketSet{},
		chains:      map[string]chain{},
		verdicts:    map[direction]map[netip.Addr]string{ingress: {}, egress: {}},
	}
}

// Names are made of the content, so that equal sets and chains of different policies are one.

func (r *ruleset) addAddressSet(kind string, set addressSet) string {
	name := contentName(kind, set)
	r.addressSets[name] = set
	return name
}

func (r *ruleset) addSocketSet(kind string, set socketSet) string {
	name := contentName(kind, set)
	r.socketSets[name] = set
	return name
}

func (r *ruleset) addChain(d direction, c chain) string {
	name := contentName(string(d), c)
	r.chains[name] = c
	return name
}

func contentName(kind string, content fmt.Stringer) string {
	sum := sha256.Sum256([]byte(content.String()))
	return kind + "-" + hex.EncodeToString(sum[:8])
}

// Script is the input of `nft -f -` that replaces the table in one transaction: no packet sees half of it.
// podInterfaces is the pattern of the names of the node's ends of the pods' interfaces, such as "veth*".
func (r *ruleset) Script(podInterfaces string) string {
	var b strings.Builder
	line := func(format string, arguments ...any) { fmt.Fprintf(&b, format+"\n", arguments...) }
	line("table inet %s", table)
	line("delete table inet %s", table)
	line("table inet %s {", table)
	for _, name := range slices.Sorted(maps.Keys(r.addressSets)) {
		line("set %s { %s }", name, r.addressSets[name])
	}
	for _, name := range slices.Sorted(maps.Keys(r.socketSets)) {
		line("set %s { %s }", name, r.socketSets[name])
	}
	for _, name := range slices.Sorted(maps.Keys(r.chains)) {
		line("chain %s {\n%s\n}", name, r.chains[name])
	}
	for _, d := range []direction{ingress, egress} {
		for _, f := range families {
			line("map %s-%s { type %s : verdict; %s }", d, f, f.addressType(), r.verdictElements(d, f))
		}
	}
	for _, f := range families {
		line("set self-%s { type %s . %s; %s }", f, f.addressType(), f.addressType(), r.selfElements(f))
	}
	line(baseChains, podInterfaces)
	line("}")
	return b.String()
}

func (r *ruleset) verdictElements(d direction, f family) string {
	var elements []string
	for _, address := range r.addresses(d, f) {
		verdict := r.verdicts[d][address]
		if verdict != open {
			verdict = "goto " + verdict
		}
		elements = append(elements, fmt.Sprintf("%s : %s", address, verdict))
	}
	return elementList(elements)
}

func (r *ruleset) selfElements(f family) string {
	var elements []string
	for _, address := range r.addresses(egress, f) {
		elements = append(elements, fmt.Sprintf("%s . %s", address, address))
	}
	return elementList(elements)
}

// addresses are those of this node's pods, sorted.
func (r *ruleset) addresses(d direction, f family) []netip.Addr {
	var addresses []netip.Addr
	for address := range r.verdicts[d] {
		if familyOf(address) == f {
			addresses = append(addresses, address)
		}
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return addresses
}

// elementList is empty without elements: an empty list is an error to nft.
func elementList(elements []string) string {
	if len(elements) == 0 {
		return ""
	}
	return fmt.Sprintf("elements = { %s };", strings.Join(elements, ", "))
}

// baseChains is the part of the table that does not depend on pods and policies. %[1]s is the pod interfaces' pattern.
//
// Priority filter is after kube-proxy's DNAT in both hooks, so a Service's address is never seen here. The node's own
// packets to its pods pass neither hook, which is how probes always arrive. The chains egress and ingress return
// what is allowed, so that a packet between two pods of this node is judged by both. They end with drop: an address that
// is not (or no longer) known to be a pod's gets nothing. A pod's packet with a source address that is not routed
// to its interface would pass as somebody else's, and is dropped first.
const baseChains = `chain prerouting {
type filter hook prerouting priority raw; policy accept;
iifname %[1]q ip6 saddr :: icmpv6 type nd-neighbor-solicit accept
iifname %[1]q fib saddr . iif oif missing drop
}
chain input {
type filter hook input priority filter; policy accept;
ct state established,related accept
iifname %[1]q icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept
iifname %[1]q jump egress
}
chain forward {
type filter hook forward priority filter; policy accept;
ct state established,related accept
ip saddr . ip daddr @self-ip accept
ip6 saddr . ip6 daddr @self-ip6 accept
iifname %[1]q jump egress
oifname %[1]q jump ingress
}
chain egress {
ip saddr vmap @egress-ip
ip6 saddr vmap @egress-ip6
drop
}
chain ingress {
ip daddr vmap @ingress-ip
ip6 daddr vmap @ingress-ip6
drop
}`
