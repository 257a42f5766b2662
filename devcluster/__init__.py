"""A real Kubernetes host cluster on one Linux machine."""
