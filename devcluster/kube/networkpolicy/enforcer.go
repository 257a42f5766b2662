package networkpolicy

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// retryInterval is the time after which a ruleset that the kernel refused is tried again.
const retryInterval = time.Second

// An enforcer keeps the node's table as the API's objects want it.
type enforcer struct {
	node          string
	podInterfaces string
	syncPeriod    time.Duration

	pods        corelisters.PodLister
	namespaces  corelisters.NamespaceLister
	policies    networkinglisters.NetworkPolicyLister
	attachments attachments

	// apply puts a script into the kernel.
	apply func(ctx context.Context, script string) error
	// wake holds at most one token: changes while the table is written become one next write.
	wake    chan struct{}
	applied string
	// problems are the last ones logged.
	problems string
}

// newEnforcer makes an enforcer and its informers, and waits until these have seen everything: a first table made from
// less would cut off what is allowed.
func newEnforcer(ctx context.Context, client kubernetes.Interface, options *options) (*enforcer, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(strip))
	e := &enforcer{
		node:          options.node,
		podInterfaces: options.podInterfaces,
		syncPeriod:    options.syncPeriod,
		pods:          factory.Core().V1().Pods().Lister(),
		namespaces:    factory.Core().V1().Namespaces().Lister(),
		policies:      factory.Networking().V1().NetworkPolicies().Lister(),
		apply:         nft,
		wake:          make(chan struct{}, 1),
	}
	e.attachments.changed = e.changed
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().Pods().Informer(),
		factory.Core().V1().Namespaces().Informer(),
		factory.Networking().V1().NetworkPolicies().Informer(),
	} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { e.changed() },
			DeleteFunc: func(any) { e.changed() },
			UpdateFunc: func(before, after any) {
				if relevant(before, after) {
					e.changed()
				}
			},
		}); err != nil {
			return nil, err
		}
	}
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return nil, fmt.Errorf("%v: not all objects came from the API server: %w", kind, ctx.Err())
		}
	}
	return e, nil
}

func (e *enforcer) changed() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// run writes the table when something changed, and every sync period in case somebody else did. The table outlives the
// enforcer: while it restarts, what was forbidden stays so.
func (e *enforcer) run(ctx context.Context) {
	patrol := time.NewTicker(e.syncPeriod)
	defer patrol.Stop()
	for {
		if err := e.sync(ctx); err != nil && ctx.Err() == nil {
			klog.ErrorS(err, "The table was not written", "retryIn", retryInterval)
			time.AfterFunc(retryInterval, e.changed)
		}
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-patrol.C:
			e.applied = ""
		}
	}
}

func (e *enforcer) sync(ctx context.Context) error {
	snapshot := Snapshot{Node: e.node}
	var err error
	if snapshot.Pods, err = e.pods.List(labels.Everything()); err != nil {
		return err
	}
	if snapshot.Namespaces, err = e.namespaces.List(labels.Everything()); err != nil {
		return err
	}
	if snapshot.Policies, err = e.policies.List(labels.Everything()); err != nil {
		return err
	}
	addresses, attached := e.attachments.of(snapshot.Pods)
	snapshot.Attached = addresses

	begin := time.Now()
	ruleset, problems := compile(snapshot)
	e.report(problems)
	if script := ruleset.Script(e.podInterfaces); script != e.applied {
		if err := e.apply(ctx, script); err != nil {
			return err
		}
		e.applied = script
		klog.V(2).InfoS("Wrote the table", "pods", len(snapshot.Pods), "policies", len(snapshot.Policies), "took", time.Since(begin))
	}
	settle(attached)
	return nil
}

// report logs what could not be read in the policies, once.
func (e *enforcer) report(problems []error) {
	var lines []string
	for _, problem := range problems {
		lines = append(lines, problem.Error())
	}
	text := strings.Join(lines, "\n")
	if text != e.problems && text != "" {
		klog.Warning(text)
	}
	e.problems = text
}

// nft gives the script to the program nft, which makes it one transaction.
func nft(ctx context.Context, script string) error {
	command := exec.CommandContext(ctx, "nft", "-f", "-")
	command.Stdin = strings.NewReader(script)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		message, _, _ := strings.Cut(strings.TrimSpace(output.String()), "\n")
		return fmt.Errorf("nft: %w: %s", err, message)
	}
	return nil
}

// strip keeps of an object what the ruleset depends on, so that updates of anything else are seen to be none.
func strip(object any) (any, error) {
	switch object := object.(type) {
	case *corev1.Pod:
		return stripPod(object), nil
	case *corev1.Namespace:
		kept := &corev1.Namespace{}
		kept.Name, kept.Labels, kept.ResourceVersion = object.Name, object.Labels, object.ResourceVersion
		return kept, nil
	case *networkingv1.NetworkPolicy:
		object.ManagedFields = nil
	}
	return object, nil
}

func stripPod(pod *corev1.Pod) *corev1.Pod {
	kept := &corev1.Pod{}
	kept.Namespace, kept.Name, kept.UID, kept.Labels = pod.Namespace, pod.Name, pod.UID, pod.Labels
	kept.CreationTimestamp, kept.ResourceVersion = pod.CreationTimestamp, pod.ResourceVersion
	if mirror, ok := pod.Annotations[corev1.MirrorPodAnnotationKey]; ok {
		kept.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: mirror}
	}
	kept.Spec.NodeName, kept.Spec.HostNetwork = pod.Spec.NodeName, pod.Spec.HostNetwork
	for _, container := range pod.Spec.Containers {
		kept.Spec.Containers = append(kept.Spec.Containers, corev1.Container{Ports: container.Ports})
	}
	for _, container := range pod.Spec.InitContainers {
		kept.Spec.InitContainers = append(kept.Spec.InitContainers,
			corev1.Container{Ports: container.Ports, RestartPolicy: container.RestartPolicy})
	}
	kept.Status.Phase, kept.Status.PodIPs = pod.Status.Phase, pod.Status.PodIPs
	return kept
}

// relevant tells whether two versions of a stripped object differ in more than their version.
func relevant(before, after any) bool {
	switch before := before.(type) {
	case *corev1.Pod:
		same := before.DeepCopy()
		same.ResourceVersion = after.(*corev1.Pod).ResourceVersion
		return !equality.Semantic.DeepEqual(same, after)
	case *corev1.Namespace:
		return !equality.Semantic.DeepEqual(before.Labels, after.(*corev1.Namespace).Labels)
	case *networkingv1.NetworkPolicy:
		return !equality.Semantic.DeepEqual(before.Spec, after.(*networkingv1.NetworkPolicy).Spec)
	}
	return true
}
