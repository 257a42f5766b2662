// Package ext has the types with which others may extend Traefik's configuration: it embeds them. Traefik's go.mod
// replaces the module by a folder of its own, which no proxy has.
package ext

// HTTP extends dynamic.HTTPConfiguration.
type HTTP struct{}

// Router extends dynamic.Router.
type Router struct{}
