"""Builds the kubelet's container image without a container engine: `python -m kubelet.image`."""
