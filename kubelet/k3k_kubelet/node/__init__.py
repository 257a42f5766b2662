"""Virtual Nodes: made when the host first runs a pod of this cluster there, alive by their Leases."""

from k3k_kubelet.node.manager import NodeListener, NodeManager

__all__ = ["NodeListener", "NodeManager"]
