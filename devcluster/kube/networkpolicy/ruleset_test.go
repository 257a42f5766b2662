package networkpolicy

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// inOwnNetwork runs a shell script in a new network namespace, with text as its input.
func inOwnNetwork(t *testing.T, script, input string) (string, *os.ProcessState) {
	t.Helper()
	arguments := []string{"--net", "sh", "-ec", script}
	if os.Geteuid() != 0 {
		arguments = append([]string{"--map-root-user"}, arguments...)
	}
	command := exec.Command("unshare", arguments...)
	command.Dir = t.TempDir()
	command.Stdin = strings.NewReader(input)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", script, err, output, input)
	}
	return string(output), command.ProcessState
}

var (
	contentHash = regexp.MustCompile(`-[0-9a-f]{16}\b`)
	whitespace  = regexp.MustCompile(`\s+`)
)

// TestScript shows what the kernel makes of the text for one policy of many parts; hashes are written as *.
func TestScript(t *testing.T) {
	ruleset, _ := compile(cluster(t,
		newPolicy(t, "team", "web", `
podSelector: {matchLabels: {app: web}}
policyTypes: [Ingress, Egress]
ingress:
- from: [{podSelector: {matchLabels: {app: client}}}, {ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.0/25]}}]
  ports: [{port: http}, {port: 80}, {protocol: UDP, port: 5000, endPort: 5010}, {protocol: SCTP}]
egress: [{}]`)))
	kernel, _ := inOwnNetwork(t, `nft -f /dev/stdin; nft -s list table inet kube-network-policy`, ruleset.Script("veth*"))
	text := whitespace.ReplaceAllString(contentHash.ReplaceAllString(kernel, "-*"), " ")
	for _, expected := range []string{
		`set block-* { type ipv4_addr flags interval elements = { 192.0.2.128/25 } }`,
		`set pods-* { type ipv4_addr elements = { 10.244.2.10 } }`,
		`set pods-* { type ipv6_addr elements = { fd00:2::10 } }`,
		`set port-* { type ipv6_addr . inet_service elements = { fd00:1::10 . 8080 } }`,
		`map ingress-ip { type ipv4_addr : verdict elements = { 10.244.1.10 : goto ingress-*, 10.244.1.11 : return, 10.244.1.20 : return } }`,
		`map ingress-ip6 { type ipv6_addr : verdict elements = { fd00:1::10 : goto ingress-* } }`,
		`map egress-ip { type ipv4_addr : verdict elements = { 10.244.1.10 : goto egress-*, 10.244.1.11 : return, 10.244.1.20 : return } }`,
		`set self-ip6 { type ipv6_addr . ipv6_addr elements = { fd00:1::10 . fd00:1::10 } }`,
		`chain egress-* { return comment "team/web" drop }`,
		// An address that is not known gets nothing, in both directions and on its way to the node.
		`chain egress { ip saddr vmap @egress-ip ip6 saddr vmap @egress-ip6 drop }`,
		`chain ingress { ip daddr vmap @ingress-ip ip6 daddr vmap @ingress-ip6 drop }`,
		`iifname "veth*" jump egress } chain forward {`,
		`iifname "veth*" jump egress oifname "veth*" jump ingress }`,
		`chain ingress-* { ` +
			`ip saddr @pods-* ip daddr . tcp dport @port-* return comment "team/web" ` +
			`ip saddr @pods-* meta l4proto sctp return comment "team/web" ` +
			`ip saddr @pods-* tcp dport 80 return comment "team/web" ` +
			`ip saddr @pods-* udp dport 5000-5010 return comment "team/web" ` +
			`ip saddr @block-* ip daddr . tcp dport @port-* return comment "team/web" ` +
			`ip saddr @block-* meta l4proto sctp return comment "team/web" ` +
			`ip saddr @block-* tcp dport 80 return comment "team/web" ` +
			`ip saddr @block-* udp dport 5000-5010 return comment "team/web" ` +
			`ip6 saddr @pods-* ip6 daddr . tcp dport @port-* return comment "team/web" ` +
			`ip6 saddr @pods-* meta l4proto sctp return comment "team/web" ` +
			`ip6 saddr @pods-* tcp dport 80 return comment "team/web" ` +
			`ip6 saddr @pods-* udp dport 5000-5010 return comment "team/web" drop }`,
	} {
		if !strings.Contains(text, expected) {
			t.Errorf("expected: %s\nin\n%s", expected, kernel)
		}
	}
}

func TestScriptDependsOnContentAlone(t *testing.T) {
	snapshot := chance{rand.New(rand.NewPCG(1, 1))}.snapshot()
	first, _ := compile(snapshot)
	rand.Shuffle(len(snapshot.Pods), func(i, j int) { snapshot.Pods[i], snapshot.Pods[j] = snapshot.Pods[j], snapshot.Pods[i] })
	rand.Shuffle(len(snapshot.Namespaces), func(i, j int) {
		snapshot.Namespaces[i], snapshot.Namespaces[j] = snapshot.Namespaces[j], snapshot.Namespaces[i]
	})
	rand.Shuffle(len(snapshot.Policies), func(i, j int) {
		snapshot.Policies[i], snapshot.Policies[j] = snapshot.Policies[j], snapshot.Policies[i]
	})
	second, _ := compile(snapshot)
	if first.Script("veth*") != second.Script("veth*") {
		t.Error("the order of the objects changes the script: it would be written for nothing")
	}
}

// TestKernelTakesEveryScript loads the scripts of the random clusters one after another, as an enforcer does.
func TestKernelTakesEveryScript(t *testing.T) {
	empty, _ := compile(Snapshot{Node: here})
	scripts := []string{empty.Script("veth*"), empty.Script("veth*")}
	for seed := range uint64(60) {
		ruleset, _ := compile(chance{rand.New(rand.NewPCG(seed, 0))}.snapshot())
		scripts = append(scripts, ruleset.Script("veth*"))
	}
	long := newPolicy(t, "team", strings.Repeat("long.", 50), all)
	ruleset, _ := compile(cluster(t, long))
	scripts = append(scripts, ruleset.Script("veth*"), empty.Script("veth*"))
	output, _ := inOwnNetwork(t, `nft -f /dev/stdin; nft list tables`, strings.Join(scripts, "\n"))
	if output != "table inet kube-network-policy\n" {
		t.Errorf("tables: %q", output)
	}
}

// TestFivehundredPodsHundredsOfPolicies measures time of the processor, which other load on the machine does not change.
func TestFivehundredPodsHundredsOfPolicies(t *testing.T) {
	snapshot := Snapshot{Node: here}
	for i := range 500 {
		name := fmt.Sprintf("ns-%d", i%100)
		p := pod(name, fmt.Sprint("pod-", i), here, []string{fmt.Sprintf("10.244.%d.%d", i/250, 1+i%250)}, fmt.Sprint("app=", i%7))
		snapshot.Pods = append(snapshot.Pods, serving(p, corev1.ContainerPort{Name: "http", ContainerPort: 80}))
	}
	for i := range 100 {
		name := fmt.Sprintf("ns-%d", i)
		snapshot.Namespaces = append(snapshot.Namespaces, namespace(name, fmt.Sprint("index=", i)))
		snapshot.Policies = append(snapshot.Policies,
			newPolicy(t, name, "default-deny", `{podSelector: {}, policyTypes: [Ingress, Egress]}`),
			newPolicy(t, name, "own", `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}}]}], egress: [{to: [{podSelector: {}}]}, {ports: [{protocol: UDP, port: 53}]}]}`),
			newPolicy(t, name, "internet", `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16]}}]}]}`),
			// Each of these has some 490 peers and shares them with no other.
			newPolicy(t, name, "others", fmt.Sprintf(`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: index, operator: NotIn, values: ["%d"]}]}}], ports: [{port: http}]}]}`, i)),
		)
	}
	begin := time.Now()
	ruleset, _ := compile(snapshot)
	script := ruleset.Script("veth*")
	compiled := time.Since(begin)
	// Twice: the second replaces a table of the same size.
	_, nft := inOwnNetwork(t, `cat > script; nft -f script; nft -f script`, script)
	loaded := (nft.UserTime() + nft.SystemTime()) / 2
	t.Logf("%d policies: compiled in %v, %d bytes loaded in %v", len(snapshot.Policies), compiled, len(script), loaded)
	if took := compiled + loaded; took > time.Second {
		t.Errorf("an update took %v, allowed is 1 s", took)
	}
}
