// Package attach is what the CNI plugin and the enforcer of a node say to each other: one request and one answer, as JSON,
// for each connection to a Unix socket.
package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// A Request tells that a pod's sandbox got its addresses, or (without addresses) that it has them no more.
type Request struct {
	// Sandbox is CNI_CONTAINERID.
	Sandbox   string       `json:"sandbox"`
	Namespace string       `json:"namespace,omitempty"`
	Name      string       `json:"name,omitempty"`
	UID       string       `json:"uid,omitempty"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
}

// An answer comes when the rules for the pod are in the kernel, or with the reason why not.
type answer struct {
	Error string `json:"error,omitempty"`
}

const redialInterval = 50 * time.Millisecond

// Call sends the request and waits for the answer. It dials until ctx ends: the enforcer may start later than the kubelet.
func Call(ctx context.Context, socket string, request Request) error {
	connection, err := dial(ctx, socket)
	if err != nil {
		return fmt.Errorf("no network policy enforcer at %s: %w", socket, err)
	}
	defer connection.Close()
	defer context.AfterFunc(ctx, func() { _ = connection.SetDeadline(time.Unix(1, 0)) })()
	if err := json.NewEncoder(connection).Encode(request); err != nil {
		return err
	}
	var reply answer
	if err := json.NewDecoder(connection).Decode(&reply); err != nil {
		return fmt.Errorf("no answer from the network policy enforcer at %s: %w", socket, err)
	}
	if reply.Error != "" {
		return errors.New(reply.Error)
	}
	return nil
}

func dial(ctx context.Context, socket string) (net.Conn, error) {
	for {
		connection, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err == nil {
			return connection, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(redialInterval):
		}
	}
}

// Serve answers requests with handle until the listener is closed. The context that handle gets ends with ctx, and also
// when the caller has gone.
func Serve(ctx context.Context, listener net.Listener, handle func(context.Context, Request) error) error {
	for {
		connection, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go serve(ctx, connection, handle)
	}
}

func serve(ctx context.Context, connection net.Conn, handle func(context.Context, Request) error) {
	defer connection.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var request Request
	var reply answer
	if err := json.NewDecoder(connection).Decode(&request); err != nil {
		reply.Error = "unreadable request: " + err.Error()
	} else {
		go func() {
			// The caller sends no more: this read ends when it has gone.
			_, _ = connection.Read(make([]byte, 1))
			cancel()
		}()
		if err := handle(ctx, request); err != nil {
			reply.Error = err.Error()
		}
	}
	_ = json.NewEncoder(connection).Encode(reply)
}
