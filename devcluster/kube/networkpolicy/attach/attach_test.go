package attach

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
)

func TestCall(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	waits, gone := make(chan struct{}), make(chan struct{})
	handle := func(ctx context.Context, request Request) error {
		switch request.Name {
		case "refused":
			return errors.New("for a reason")
		case "waits":
			close(waits)
			<-ctx.Done()
			close(gone)
		}
		return nil
	}
	request := Request{Sandbox: "s", Namespace: "n", UID: "u", Addresses: []netip.Addr{netip.MustParseAddr("fd00::1")}}

	// The caller is earlier than the enforcer.
	early := make(chan error, 1)
	go func() { early <- Call(t.Context(), socket, request) }()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- Serve(t.Context(), listener, handle) }()
	if err := <-early; err != nil {
		t.Error(err)
	}

	request.Name = "refused"
	if err := Call(t.Context(), socket, request); err == nil || err.Error() != "for a reason" {
		t.Errorf("error %v, expected the handler's", err)
	}

	request.Name = "waits"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-waits
		cancel()
	}()
	if err := Call(ctx, socket, request); err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("error %v, expected that there is no answer", err)
	}
	<-gone // the handler learns that its caller has gone

	listener.Close()
	if err := <-served; err != nil {
		t.Errorf("Serve ended with %v", err)
	}
	if err := Call(ctx, socket, request); err == nil || !strings.Contains(err.Error(), "no network policy enforcer at "+socket) {
		t.Errorf("error %v, expected that there is no enforcer", err)
	}
}
