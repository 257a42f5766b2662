package networkpolicy

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"k3k-pulumi.io/devcluster/kube/networkpolicy/attach"
)

// attachments are the sandboxes that the CNI plugin reported.
type attachments struct {
	// changed is called, without the lock, after something changed.
	changed func()

	mu sync.Mutex
	// list is in the order of the reports: for one pod the last counts.
	list []*attachment
}

type attachment struct {
	attach.Request
	// inForce is closed when the rules for the pod are in the kernel.
	inForce chan struct{}
	// pod is the UID of the API's object once that is known.
	pod types.UID
}

// handle answers the CNI plugin.
func (a *attachments) handle(ctx context.Context, request attach.Request) error {
	if len(request.Addresses) == 0 {
		a.remove(func(other *attachment) bool { return other.Sandbox == request.Sandbox })
		a.changed()
		return nil
	}
	added := &attachment{Request: request, inForce: make(chan struct{})}
	a.mu.Lock()
	a.list = append(a.list, added)
	a.mu.Unlock()
	a.changed()
	select {
	case <-added.inForce:
		return nil
	case <-ctx.Done():
		a.remove(func(other *attachment) bool { return other == added })
		a.changed()
		return fmt.Errorf("the rules for its addresses %v did not get into force", request.Addresses)
	}
}

func (a *attachments) remove(gone func(*attachment) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kept := make([]*attachment, 0, len(a.list))
	for _, attachment := range a.list {
		if !gone(attachment) {
			kept = append(kept, attachment)
		}
	}
	a.list = kept
}

// of finds the attachments of the given pods: their addresses by UID, and the list, for settle. It forgets those
// of pods that have gone.
func (a *attachments) of(pods []*corev1.Pod) (map[types.UID][]netip.Addr, []*attachment) {
	known := map[types.UID]bool{}
	mirrored := map[types.UID]types.UID{}
	for _, pod := range pods {
		known[pod.UID] = true
		// The kubelet knows a static pod by another UID than the API does.
		if static := pod.Annotations[corev1.MirrorPodAnnotationKey]; static != "" {
			mirrored[types.UID(static)] = pod.UID
		}
	}
	a.remove(func(attachment *attachment) bool { return attachment.pod != "" && !known[attachment.pod] })

	a.mu.Lock()
	defer a.mu.Unlock()
	addresses := map[types.UID][]netip.Addr{}
	var found []*attachment
	for _, attachment := range a.list {
		uid := types.UID(attachment.UID)
		if other, ok := mirrored[uid]; ok {
			uid = other
		}
		if known[uid] {
			attachment.pod = uid
			addresses[uid] = attachment.Addresses
			found = append(found, attachment)
		}
	}
	return addresses, found
}

// settle lets the plugin go on for attachments whose rules are in the kernel.
func settle(done []*attachment) {
	for _, attachment := range done {
		select {
		case <-attachment.inForce:
		default:
			close(attachment.inForce)
		}
	}
}
