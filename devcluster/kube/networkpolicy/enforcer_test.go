package networkpolicy

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"k3k-pulumi.io/devcluster/kube/networkpolicy/attach"
)

const deadline = time.Minute

// A kernel records the scripts it is given; it refuses as many as the test says.
type kernel struct {
	scripts chan string
	refuse  int
}

func (k *kernel) apply(_ context.Context, script string) error {
	if k.refuse > 0 {
		k.refuse--
		return errors.New("refused")
	}
	k.scripts <- script
	return nil
}

// next is the next script written.
func (k *kernel) next(t *testing.T) string {
	t.Helper()
	select {
	case script := <-k.scripts:
		return script
	case <-time.After(deadline):
		t.Fatal("nothing was written")
		return ""
	}
}

// until waits for a script that contains text, and gives it.
func (k *kernel) until(t *testing.T, text string) string {
	t.Helper()
	for {
		if script := k.next(t); strings.Contains(script, text) {
			return script
		}
	}
}

func start(t *testing.T, k *kernel, syncPeriod time.Duration, objects ...runtime.Object) (kubernetes.Interface, *enforcer) {
	t.Helper()
	client := fake.NewClientset(objects...)
	e, err := newEnforcer(t.Context(), client, &options{node: here, podInterfaces: "veth*", syncPeriod: syncPeriod})
	if err != nil {
		t.Fatal(err)
	}
	awaitWatches(t, client, 3)
	k.scripts = make(chan string, 100)
	e.apply = k.apply
	go e.run(t.Context())
	return client, e
}

// awaitWatches waits until informers watch: a fake API tells nobody later what happened between their list and that.
func awaitWatches(t *testing.T, client *fake.Clientset, count int) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < deadline; time.Sleep(time.Millisecond) {
		watches := 0
		for _, action := range client.Actions() {
			if action.GetVerb() == "watch" {
				watches++
			}
		}
		if watches >= count {
			return
		}
	}
	t.Fatalf("there are no %d watches: %v", count, client.Actions())
}

func TestWritesWhatChanges(t *testing.T) {
	k := &kernel{refuse: 1}
	web := pod("team", "web", here, []string{"10.244.1.10"}, "app=web")
	client, _ := start(t, k, time.Hour, namespace("team"), web)
	if first := k.next(t); !strings.Contains(first, "10.244.1.10 : return") {
		t.Errorf("the pod is not open in the first table, which was refused once:\n%s", first)
	}

	// A change that no rule depends on writes nothing: the next script is that of the policy.
	web = web.DeepCopy()
	web.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	must(client.CoreV1().Pods("team").UpdateStatus(t.Context(), web, metav1.UpdateOptions{}))(t)
	policy := newPolicy(t, "team", "deny", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`)
	must(client.NetworkingV1().NetworkPolicies("team").Create(t.Context(), policy, metav1.CreateOptions{}))(t)
	if next := k.next(t); !strings.Contains(next, "10.244.1.10 : goto ingress-") {
		t.Errorf("the policy is not in the next table:\n%s", next)
	}

	web = web.DeepCopy()
	web.Labels["app"] = "other"
	must(client.CoreV1().Pods("team").Update(t.Context(), web, metav1.UpdateOptions{}))(t)
	if next := k.next(t); strings.Contains(next, "goto") {
		t.Errorf("the policy selects the pod no more:\n%s", next)
	}
}

func TestPatrolWritesAnew(t *testing.T) {
	k := &kernel{}
	start(t, k, 10*time.Millisecond)
	if first, second := k.next(t), k.next(t); first != second {
		t.Errorf("nothing changed, but the table did:\n%s\n%s", first, second)
	}
}

func TestAttachWaitsForTheRules(t *testing.T) {
	k := &kernel{}
	client, e := start(t, k, time.Hour, namespace("team"),
		newPolicy(t, "team", "deny", `{podSelector: {}, policyTypes: [Ingress, Egress]}`))
	k.next(t)

	request := attach.Request{Sandbox: "s1", Namespace: "team", Name: "web", UID: "team/web", Addresses: []netip.Addr{netip.MustParseAddr("10.244.1.10")}}
	answer := make(chan error, 1)
	go func() { answer <- e.attachments.handle(t.Context(), request) }()
	// The API does not know the pod yet: no answer, and a table only when there is something to write.
	web := pod("team", "web", here, nil)
	web.Status.Phase = corev1.PodPending
	must(client.CoreV1().Pods("team").Create(t.Context(), web, metav1.CreateOptions{}))(t)
	k.until(t, "10.244.1.10 : goto egress-")
	select {
	case err := <-answer:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(deadline):
		t.Fatal("no answer though the rules are written")
	}

	if err := e.attachments.handle(t.Context(), attach.Request{Sandbox: "s1"}); err != nil {
		t.Error(err)
	}
	for strings.Contains(k.next(t), "10.244.1.10") {
	}
}

func TestAttachGivesUpWithItsCaller(t *testing.T) {
	k := &kernel{}
	_, e := start(t, k, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	request := attach.Request{Sandbox: "s1", UID: "nobody", Addresses: []netip.Addr{netip.MustParseAddr("10.244.1.10")}}
	err := e.attachments.handle(ctx, request)
	if err == nil || !strings.Contains(err.Error(), "10.244.1.10") {
		t.Errorf("error %v, expected one that names the address", err)
	}
	e.attachments.mu.Lock()
	defer e.attachments.mu.Unlock()
	if n := len(e.attachments.list); n != 0 {
		t.Errorf("%d attachments are left", n)
	}
}

func TestAttachmentsByPod(t *testing.T) {
	a := &attachments{changed: func() {}}
	for _, request := range []attach.Request{
		{Sandbox: "s1", UID: "team/web", Addresses: []netip.Addr{netip.MustParseAddr("10.244.1.1")}},
		{Sandbox: "s2", UID: "team/web", Addresses: []netip.Addr{netip.MustParseAddr("10.244.1.2")}},
		{Sandbox: "s3", UID: "static", Addresses: []netip.Addr{netip.MustParseAddr("10.244.1.3")}},
		{Sandbox: "s4", UID: "unknown", Addresses: []netip.Addr{netip.MustParseAddr("10.244.1.4")}},
	} {
		a.list = append(a.list, &attachment{Request: request, inForce: make(chan struct{})})
	}
	mirror := pod("kube-system", "mirror", here, nil)
	mirror.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "static"}
	addresses, found := a.of([]*corev1.Pod{pod("team", "web", here, nil), mirror})
	if got := addresses["team/web"]; len(got) != 1 || got[0].String() != "10.244.1.2" {
		t.Errorf("web has %v, expected its last sandbox's address", got)
	}
	if got := addresses["kube-system/mirror"]; len(got) != 1 || got[0].String() != "10.244.1.3" {
		t.Errorf("the static pod has %v", got)
	}
	if len(found) != 3 {
		t.Errorf("%d found, expected all but that of the unknown pod", len(found))
	}
	settle(found)
	settle(found)
	// The pods have gone; the one that was never known may still come.
	if _, found = a.of(nil); len(found) != 0 || len(a.list) != 1 || a.list[0].Sandbox != "s4" {
		t.Errorf("left: %v", a.list)
	}
}

func TestStripKeepsWhatRulesDependOn(t *testing.T) {
	whole := cluster(t)
	whole.Policies = append(whole.Policies, newPolicy(t, "team", "p", `{podSelector: {}, ingress: [{ports: [{port: http}, {port: metrics}], from: [{namespaceSelector: {matchLabels: {env: prod}}}]}]}`))
	stripped := Snapshot{Node: whole.Node}
	for _, object := range whole.Pods {
		kept, _ := strip(object.DeepCopy())
		stripped.Pods = append(stripped.Pods, kept.(*corev1.Pod))
	}
	for _, object := range whole.Namespaces {
		kept, _ := strip(object.DeepCopy())
		stripped.Namespaces = append(stripped.Namespaces, kept.(*corev1.Namespace))
	}
	stripped.Policies = whole.Policies
	before, _ := compile(whole)
	after, _ := compile(stripped)
	if before.Script("veth*") != after.Script("veth*") {
		t.Errorf("before:\n%s\nafter:\n%s", before.Script("veth*"), after.Script("veth*"))
	}
}

// must takes the results of a call to the API.
func must[T any](_ T, err error) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}
