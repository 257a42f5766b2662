"""The virtual kubelet: runs a virtual cluster's pods on its host's nodes."""

__version__ = "0.1.0"
