package networkpolicy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The cluster of the table tests: by name, what a probe comes from or goes to.
var addresses = map[string]string{
	"web": "10.244.1.10", "db": "10.244.1.11", "client": "10.244.2.10", "other/web": "10.244.1.20", "other/client": "10.244.2.20",
	"third/client": "10.244.2.30", "web6": "fd00:1::10", "client6": "fd00:2::10",
	"node-1": "172.30.0.1", "node-2": "172.30.0.2", "internet": "203.0.113.7", "internet6": "2001:db8::7",
}

func cluster(t *testing.T, policies ...*networkingv1.NetworkPolicy) Snapshot {
	t.Helper()
	web := serving(pod("team", "web", here, []string{addresses["web"], addresses["web6"]}, "app=web", "tier=front"),
		corev1.ContainerPort{Name: "http", ContainerPort: 8080},
		corev1.ContainerPort{Name: "dns", ContainerPort: 5353, Protocol: corev1.ProtocolUDP})
	web.Spec.InitContainers = []corev1.Container{
		sidecar(corev1.ContainerPort{Name: "metrics", ContainerPort: 9090}),
		{Name: "init", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 1}}},
	}
	hostPod := pod("team", "host", here, []string{addresses["node-1"]}, "app=client")
	hostPod.Spec.HostNetwork = true
	return Snapshot{
		Node: here,
		Pods: []*corev1.Pod{
			web, hostPod,
			serving(pod("team", "db", here, []string{addresses["db"]}, "app=db", "tier=back"), corev1.ContainerPort{Name: "http", ContainerPort: 80}),
			pod("team", "client", elsewhere, []string{addresses["client"], addresses["client6"]}, "app=client"),
			pod("other", "web", here, []string{addresses["other/web"]}, "app=web"),
			pod("other", "client", elsewhere, []string{addresses["other/client"]}, "app=client"),
			pod("third", "client", elsewhere, []string{addresses["third/client"]}, "app=client"),
		},
		Namespaces: []*corev1.Namespace{
			namespace("team", "kubernetes.io/metadata.name=team", "env=prod"),
			namespace("other", "kubernetes.io/metadata.name=other", "env=prod"),
			namespace("third", "kubernetes.io/metadata.name=third", "env=test"),
		},
		Policies: policies,
	}
}

// A probe is written "from to protocol/port".
func probe(t *testing.T, text string) packet {
	t.Helper()
	fields := strings.Fields(text)
	p := packet{}
	for i, side := range []*netip.Addr{&p.from, &p.to} {
		address, known := addresses[fields[i]]
		if !known {
			t.Fatalf("probe %q: no address for %q", text, fields[i])
		}
		*side = netip.MustParseAddr(address)
	}
	protocol, port, _ := strings.Cut(fields[2], "/")
	p.protocol = corev1.Protocol(strings.ToUpper(protocol))
	if port != "" {
		if _, err := fmt.Sscan(port, &p.port); err != nil {
			t.Fatalf("probe %q: %v", text, err)
		}
	}
	return p
}

const all = `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}`

// Each case: the specs of policies in namespace team, and what they let through and what not.
var cases = map[string]struct {
	specs   []string
	allowed []string
	denied  []string
}{
	"no policy": {
		nil,
		[]string{"client web tcp/80", "internet web udp/1", "web internet icmp", "internet6 web6 icmp"},
		nil,
	},
	"default deny of ingress": {
		[]string{`{podSelector: {}, policyTypes: [Ingress]}`},
		[]string{"web internet tcp/80", "web web tcp/80", "client other/web tcp/80", "db client tcp/80", "web6 web6 tcp/80"},
		[]string{"client web tcp/80", "client6 web6 tcp/80", "other/web web tcp/80", "web db tcp/80", "internet web icmp", "node-2 web tcp/80", "internet6 web6 sctp/9"},
	},
	"default deny of egress": {
		[]string{`{podSelector: {}, policyTypes: [Egress]}`},
		[]string{"client web tcp/80", "other/web web tcp/80", "web web tcp/80"},
		[]string{"web client tcp/80", "web6 client6 tcp/80", "web db tcp/80", "web internet icmp", "web node-1 tcp/6443", "web node-2 tcp/6443"},
	},
	"policyTypes left out: egress rules make it both": {
		[]string{`{podSelector: {}, egress: [{to: [{podSelector: {}}]}]}`},
		[]string{"web client tcp/80"},
		[]string{"client web tcp/80", "web internet tcp/80"},
	},
	"policyTypes left out: else ingress alone": {
		[]string{`{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}`},
		[]string{"client web tcp/80", "web internet tcp/80"},
		[]string{"other/client web tcp/80"},
	},
	"an egress list without the type Egress means nothing": {
		[]string{`{podSelector: {}, policyTypes: [Ingress], ingress: [{}], egress: [{to: [{podSelector: {}}]}]}`},
		[]string{"web internet tcp/80", "client web tcp/80"},
		nil,
	},
	"allow all": {
		[]string{all},
		[]string{"internet web icmp", "web internet tcp/80", "internet6 web6 udp/1"},
		nil,
	},
	"only selected pods are isolated": {
		[]string{`{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`},
		[]string{"client db tcp/80", "client other/web tcp/80"},
		[]string{"client web tcp/80"},
	},
	"matchExpressions select": {
		[]string{`{podSelector: {matchExpressions: [{key: tier, operator: In, values: [front, middle]}, {key: app, operator: NotIn, values: [db]}, {key: gone, operator: DoesNotExist}, {key: app, operator: Exists}]}, policyTypes: [Ingress]}`},
		[]string{"client db tcp/80"},
		[]string{"client web tcp/80"},
	},
	"podSelector peer: the policy's namespace, no hostNetwork pod": {
		[]string{`{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]}`},
		[]string{"client web tcp/80", "client6 web6 tcp/80", "client db icmp"},
		[]string{"other/client web tcp/80", "db web tcp/80", "node-1 web tcp/80"},
	},
	"namespaceSelector peer: all pods of the namespaces": {
		[]string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {env: prod}}}]}]}`},
		[]string{"client web tcp/80", "other/client web tcp/80", "other/web db udp/9", "db web tcp/80"},
		[]string{"third/client web tcp/80", "internet web tcp/80"},
	},
	"both selectors in one peer: and": {
		[]string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {env: prod}}, podSelector: {matchLabels: {app: client}}}]}]}`},
		[]string{"client web tcp/80", "other/client web tcp/80"},
		[]string{"third/client web tcp/80", "other/web web tcp/80"},
	},
	"two peers: or": {
		[]string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {env: test}}}, {podSelector: {matchLabels: {app: db}}}]}]}`},
		[]string{"third/client web tcp/80", "db web tcp/80"},
		[]string{"other/client web tcp/80", "client web tcp/80"},
	},
	"empty namespaceSelector: every pod, nothing else": {
		[]string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}`},
		[]string{"third/client web tcp/80", "other/web db tcp/80"},
		[]string{"internet web tcp/80", "node-2 web tcp/80"},
	},
	"namespaceSelector by expression": {
		[]string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [team, third]}]}}]}]}`},
		[]string{"other/client web tcp/80"},
		[]string{"client web tcp/80", "third/client web tcp/80"},
	},
	"peers that match nothing allow nothing": {
		[]string{`{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: nobody}}}]}]}`},
		nil,
		[]string{"client web tcp/80", "internet web tcp/80"},
	},
	"ipBlock with except": {
		[]string{`{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 172.16.0.0/12]}}]}]}`},
		[]string{"web internet tcp/443", "web internet icmp"},
		[]string{"web client tcp/80", "web node-1 tcp/6443", "web node-2 tcp/6443", "web6 internet6 tcp/443"},
	},
	"IPv6 ipBlock with except": {
		[]string{`{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: "::/0", except: ["fc00::/7"]}}]}]}`},
		[]string{"web6 internet6 tcp/443"},
		[]string{"web6 client6 tcp/80", "web internet tcp/443"},
	},
	"except of one ipBlock does not narrow the next": {
		[]string{`{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.244.2.0/24]}}, {ipBlock: {cidr: 10.244.2.16/28}}]}]}`},
		[]string{"web other/client tcp/80", "web third/client tcp/80", "web db tcp/80"},
		[]string{"web client tcp/80", "web internet tcp/80"},
	},
	"ipBlock with host bits and leading zeros, as the API server takes it": {
		[]string{`{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 203.0.113.099/24}}]}]}`},
		[]string{"web internet tcp/80"},
		[]string{"web client tcp/80"},
	},
	"ports: TCP is the default, a range, no ICMP": {
		[]string{`{podSelector: {}, ingress: [{ports: [{port: 80}, {port: 8000, endPort: 8010}, {port: 8005, endPort: 8020}, {protocol: UDP, port: 53}, {protocol: SCTP, port: 7}]}]}`},
		[]string{"client web tcp/80", "client web tcp/8000", "internet web tcp/8020", "client web udp/53", "client web sctp/7", "client6 web6 tcp/80"},
		[]string{"client web udp/80", "client web tcp/81", "client web tcp/8021", "client web tcp/53", "client web icmp", "client web sctp/8"},
	},
	"a port of only a protocol: all its ports": {
		[]string{`{podSelector: {}, ingress: [{ports: [{protocol: UDP}]}]}`},
		[]string{"client web udp/1", "client web udp/65535"},
		[]string{"client web tcp/1", "client web icmp"},
	},
	"named port, ingress: each selected pod's own number, protocol counts, sidecars too": {
		[]string{`{podSelector: {}, ingress: [{ports: [{port: http}, {port: metrics}, {protocol: UDP, port: dns}, {port: nosuch}]}]}`},
		[]string{"client web tcp/8080", "client6 web6 tcp/8080", "client db tcp/80", "client web tcp/9090", "client web udp/5353"},
		[]string{"client web tcp/80", "client db tcp/8080", "client web tcp/5353", "client web tcp/1", "client db tcp/9090"},
	},
	"named port, egress: the peer's number": {
		[]string{`{podSelector: {matchLabels: {tier: front}}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}], ports: [{port: http}]}]}`},
		[]string{"web db tcp/80"},
		[]string{"web db tcp/8080", "web other/web tcp/80", "web internet tcp/80"},
	},
	"peer and port belong together within a rule": {
		[]string{`{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 80}]}, {from: [{namespaceSelector: {matchLabels: {env: test}}}], ports: [{port: 81}]}]}`},
		[]string{"client web tcp/80", "third/client web tcp/81"},
		[]string{"client web tcp/81", "third/client web tcp/80"},
	},
	"policies add up": {
		[]string{
			`{podSelector: {}, policyTypes: [Ingress, Egress]}`,
			`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]}`,
			`{podSelector: {matchLabels: {tier: front}}, ingress: [{ports: [{port: 8080}]}]}`,
			`{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 8080}]}]}`,
		},
		[]string{"client web udp/9", "internet web tcp/8080", "db web tcp/8080"},
		[]string{"internet web tcp/80", "client db tcp/80", "db client tcp/8080", "web db tcp/80"},
	},
	"both pods on one node: egress and ingress must both allow": {
		[]string{
			`{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`,
			`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 5432}]}]}`,
		},
		[]string{"web db tcp/5432"},
		[]string{"web db tcp/5433", "client db tcp/5432"},
	},
}

func TestPolicies(t *testing.T) {
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			var policies []*networkingv1.NetworkPolicy
			for i, spec := range test.specs {
				policies = append(policies, newPolicy(t, "team", fmt.Sprintf("p%d", i), spec))
			}
			ruleset, problems := compile(cluster(t, policies...))
			if len(problems) > 0 {
				t.Errorf("problems: %v", problems)
			}
			for expected, probes := range map[bool][]string{true: test.allowed, false: test.denied} {
				for _, text := range probes {
					if got := ruleset.allows(probe(t, text)); got != expected {
						t.Errorf("%s: allowed is %v, expected %v\n%s", text, got, expected, ruleset.Script("veth*"))
					}
				}
			}
		})
	}
}

func TestUnreadablePartsAllowNothing(t *testing.T) {
	for name, spec := range map[string]string{
		"cidr":     `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: nonsense}}]}]}`,
		"except":   `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [nonsense]}}]}]}`,
		"peer":     `{podSelector: {}, ingress: [{from: [{podSelector: {matchExpressions: [{key: a, operator: Near}]}}]}]}`,
		"subjects": `{podSelector: {matchExpressions: [{key: a, operator: Near}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			ruleset, problems := compile(cluster(t, newPolicy(t, "team", "bad", spec)))
			if len(problems) != 1 || !strings.Contains(problems[0].Error(), "NetworkPolicy team/bad: ") {
				t.Errorf("problems: %v, expected one of NetworkPolicy team/bad", problems)
			}
			if ruleset.allows(probe(t, "internet web tcp/80")) {
				t.Error("the pod is open")
			}
		})
	}
}

func TestWhichPodsHaveAnAddress(t *testing.T) {
	pods := func(change func(old, new *corev1.Pod)) []*corev1.Pod {
		old := pod("team", "old", here, []string{"10.244.1.5"})
		young := pod("team", "young", here, []string{"10.244.1.6"})
		old.CreationTimestamp.Time = old.CreationTimestamp.AddDate(2020, 0, 0)
		young.CreationTimestamp.Time = young.CreationTimestamp.AddDate(2021, 0, 0)
		change(old, young)
		return []*corev1.Pod{old, young}
	}
	for name, test := range map[string]struct {
		change   func(old, young *corev1.Pod)
		attached map[types.UID][]netip.Addr
		expected map[types.UID]string
	}{
		"status": {
			func(_, _ *corev1.Pod) {}, nil,
			map[types.UID]string{"team/old": "[10.244.1.5]", "team/young": "[10.244.1.6]"},
		},
		"terminated": {
			func(old, young *corev1.Pod) {
				old.Status.Phase, young.Status.Phase = corev1.PodSucceeded, corev1.PodFailed
			}, nil,
			map[types.UID]string{},
		},
		"host network": {
			func(old, _ *corev1.Pod) { old.Spec.HostNetwork = true }, nil,
			map[types.UID]string{"team/young": "[10.244.1.6]"},
		},
		"pending, and the plugin knows it": {
			func(_, young *corev1.Pod) { young.Status.PodIPs, young.Status.Phase = nil, corev1.PodPending },
			map[types.UID][]netip.Addr{"team/young": {netip.MustParseAddr("10.244.1.6"), netip.MustParseAddr("fd00::6")}},
			map[types.UID]string{"team/old": "[10.244.1.5]", "team/young": "[10.244.1.6 fd00::6]"},
		},
		"a new sandbox, the status is of the one before": {
			func(_, _ *corev1.Pod) {},
			map[types.UID][]netip.Addr{"team/young": {netip.MustParseAddr("10.244.1.7")}},
			map[types.UID]string{"team/old": "[10.244.1.5]", "team/young": "[10.244.1.7]"},
		},
		"an address used again: the newest pod's": {
			func(old, young *corev1.Pod) { young.Status.PodIPs = old.Status.PodIPs }, nil,
			map[types.UID]string{"team/young": "[10.244.1.5]"},
		},
		"an address used again: the plugin knows better": {
			func(old, young *corev1.Pod) { young.Status.PodIPs = old.Status.PodIPs },
			map[types.UID][]netip.Addr{"team/old": {netip.MustParseAddr("10.244.1.5")}},
			map[types.UID]string{"team/old": "[10.244.1.5]"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			owned := ownedAddresses(Snapshot{Node: here, Pods: pods(test.change), Attached: test.attached})
			got := map[types.UID]string{}
			for uid, addresses := range owned {
				got[uid] = fmt.Sprint(addresses)
			}
			if fmt.Sprint(got) != fmt.Sprint(test.expected) {
				t.Errorf("got %v, expected %v", got, test.expected)
			}
		})
	}
}
