// Command ingress is an ingress controller and a gateway for tests: Traefik's providers for Ingress and the
// Gateway API, which read the objects and write their status, its matcher of rules, its store of
// certificates and its filters, before the reverse proxy of Go's library.
//
// All of Traefik is ten times the code to build, for the DNS providers of ACME and for other orchestrators.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/signal"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	ptypes "github.com/traefik/paerser/types"
	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/middlewares/gatewayapi/headermodifier"
	"github.com/traefik/traefik/v3/pkg/middlewares/gatewayapi/redirect"
	"github.com/traefik/traefik/v3/pkg/middlewares/gatewayapi/urlrewrite"
	"github.com/traefik/traefik/v3/pkg/middlewares/requestdecorator"
	muxer "github.com/traefik/traefik/v3/pkg/muxer/http"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/gateway"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/ingress"
	"github.com/traefik/traefik/v3/pkg/safe"
	traefiktls "github.com/traefik/traefik/v3/pkg/tls"
)

const (
	web       = "web"
	webSecure = "websecure"
	throttle  = 200 * time.Millisecond // a busy cluster has many events, and each is a new configuration
)

func main() {
	addresses := map[string]*string{
		web:       flag.String("http", ":8080", "address for HTTP"),
		webSecure: flag.String("https", ":8443", "address for HTTPS"),
	}
	published := flag.String("published", "", "IP address that the status of Ingresses and Gateways names")
	flag.Parse()
	zerolog.SetGlobalLevel(zerolog.WarnLevel)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	pool := safe.NewPool(ctx)
	messages := make(chan dynamic.Message)
	for _, provider := range providers(*published, addresses) {
		if err := provider.Init(); err != nil {
			log.Fatal(err)
		}
		if err := provider.Provide(messages, pool); err != nil {
			log.Fatal(err)
		}
	}
	certificates := traefiktls.NewManager(nil)
	fronts := map[string]*front{web: {}, webSecure: {}}
	for name, front := range fronts {
		go serve(*addresses[name], name == webSecure, front, certificates)
	}
	known := map[string]*dynamic.Configuration{}
	for {
		select {
		case <-ctx.Done():
			return
		case message := <-messages:
			known[message.ProviderName] = message.Configuration
			update(ctx, certificates, known)
			for name, front := range fronts {
				front.use(ctx, name, known)
			}
		}
	}
}

type provider interface {
	Init() error
	Provide(chan<- dynamic.Message, *safe.Pool) error
}

func providers(published string, addresses map[string]*string) []provider {
	ingresses := &ingress.Provider{
		StrictPrefixMatching: true,
		ThrottleDuration:     ptypes.Duration(throttle),
		IngressEndpoint:      &ingress.EndpointIngress{IP: published},
	}
	gateways := &gateway.Provider{
		ThrottleDuration: ptypes.Duration(throttle),
		StatusAddress:    &gateway.StatusAddress{IP: published},
		EntryPoints:      map[string]gateway.Entrypoint{},
	}
	gateways.SetDefaults()
	for name, address := range addresses {
		gateways.EntryPoints[name] = gateway.Entrypoint{Address: *address, HasHTTPTLSConf: name == webSecure}
	}
	return []provider{ingresses, gateways}
}

// update has the store serve the certificates that the configurations have.
func update(ctx context.Context, certificates *traefiktls.Manager, known map[string]*dynamic.Configuration) {
	var all []*traefiktls.CertAndStores
	for _, configuration := range known {
		if configuration.TLS != nil {
			all = append(all, configuration.TLS.Certificates...)
		}
	}
	options := map[string]traefiktls.Options{"default": traefiktls.DefaultTLSOptions}
	certificates.UpdateConfigs(ctx, nil, options, all)
}

func serve(address string, secure bool, handler http.Handler, certificates *traefiktls.Manager) {
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	if !secure {
		log.Fatal(server.ListenAndServe())
	}
	server.TLSConfig = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return certificates.Get(traefiktls.DefaultTLSStoreName, "default")
	}}
	// The configuration is made for each connection: this one never gives a certificate itself.
	server.TLSConfig.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
	log.Fatal(server.ListenAndServeTLS("", ""))
}

// front is what answers at one address.
type front struct {
	routes atomic.Pointer[muxer.Muxer]
}

func (f *front) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	routes := f.routes.Load()
	if routes == nil {
		http.Error(writer, "no configuration yet", http.StatusServiceUnavailable)
		return
	}
	requestdecorator.New(nil).ServeHTTP(writer, request, routes.ServeHTTP)
}

// use takes over the routers of all configurations that are for the entry point.
func (f *front) use(ctx context.Context, entryPoint string, known map[string]*dynamic.Configuration) {
	parser, err := muxer.NewSyntaxParser()
	if err != nil {
		log.Fatal(err)
	}
	routes := muxer.NewMuxer(parser, nil)
	for provider, configuration := range known {
		if configuration.HTTP == nil {
			continue
		}
		for name, router := range configuration.HTTP.Routers {
			if len(router.EntryPoints) > 0 && !slices.Contains(router.EntryPoints, entryPoint) {
				continue
			}
			handler := filtered(ctx, configuration.HTTP, router.Middlewares, service(ctx, configuration.HTTP, router.Service))
			priority := router.Priority
			if priority == 0 {
				priority = muxer.GetRulePriority(router.Rule)
			}
			if err := routes.AddRoute(router.Rule, router.RuleSyntax, priority, provider, handler); err != nil {
				log.Printf("router %s: %v", name, err)
			}
		}
	}
	f.routes.Store(routes)
}

// filtered puts the filters of a route, the first one outermost, before what answers.
func filtered(ctx context.Context, configuration *dynamic.HTTPConfiguration, names []string, next http.Handler) http.Handler {
	for _, name := range slices.Backward(names) {
		found, err := configuration.Middlewares[name], error(nil)
		switch {
		case found == nil:
			return failing(http.StatusInternalServerError)
		case found.RequestHeaderModifier != nil:
			next = headermodifier.NewRequestHeaderModifier(ctx, next, *found.RequestHeaderModifier, name)
		case found.ResponseHeaderModifier != nil:
			next = headermodifier.NewResponseHeaderModifier(ctx, next, *found.ResponseHeaderModifier, name)
		case found.RequestRedirect != nil:
			next, err = redirect.NewRequestRedirect(ctx, next, *found.RequestRedirect, name)
		case found.URLRewrite != nil:
			next = urlrewrite.NewURLRewrite(ctx, next, *found.URLRewrite, name)
		default: // a filter that is not understood must not be passed by
			return failing(http.StatusInternalServerError)
		}
		if err != nil {
			log.Printf("filter %s: %v", name, err)
			return failing(http.StatusInternalServerError)
		}
	}
	return next
}

func service(ctx context.Context, configuration *dynamic.HTTPConfiguration, name string) http.Handler {
	found := configuration.Services[name]
	switch {
	case found == nil:
		return failing(http.StatusServiceUnavailable)
	case found.Weighted != nil:
		return weighted(ctx, configuration, found.Weighted.Services)
	case found.LoadBalancer != nil:
		return filtered(ctx, configuration, found.Middlewares, balanced(found.LoadBalancer.Servers))
	}
	return failing(http.StatusServiceUnavailable)
}

func weighted(ctx context.Context, configuration *dynamic.HTTPConfiguration, services []dynamic.WRRService) http.Handler {
	var handlers []http.Handler
	var sums []int
	sum := 0
	for _, each := range services {
		weight := 1
		if each.Weight != nil {
			weight = *each.Weight
		}
		sum += weight
		sums = append(sums, sum)
		if each.Status != nil {
			handlers = append(handlers, failing(*each.Status))
		} else {
			handlers = append(handlers, service(ctx, configuration, each.Name))
		}
	}
	if sum == 0 {
		return failing(http.StatusInternalServerError)
	}
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		drawn := rand.IntN(sum)
		chosen := slices.IndexFunc(sums, func(upTo int) bool { return drawn < upTo })
		handlers[chosen].ServeHTTP(writer, request)
	})
}

func balanced(servers []dynamic.Server) http.Handler {
	var targets []*url.URL
	for _, server := range servers {
		if target, err := url.Parse(server.URL); err == nil {
			targets = append(targets, target)
		}
	}
	if len(targets) == 0 {
		return failing(http.StatusServiceUnavailable)
	}
	return &httputil.ReverseProxy{Rewrite: func(request *httputil.ProxyRequest) {
		request.SetURL(targets[rand.IntN(len(targets))])
		request.Out.Host = request.In.Host
		request.SetXForwarded()
	}}
}

func failing(status int) http.Handler {
	return http.HandlerFunc(func(writer http.ResponseWriter, _ *http.Request) {
		http.Error(writer, http.StatusText(status), status)
	})
}
