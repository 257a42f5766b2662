"""Kubernetes inside Kubernetes, as a Pulumi component library."""
