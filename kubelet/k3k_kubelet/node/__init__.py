"""Virtual Nodes: made when the host first runs a pod of this cluster there, alive by their Leases."""

from k3k_kubelet.node.manager import NodeManager
from k3k_kubelet.node.serving import NodeApis, NodeListener

__all__ = ["NodeApis", "NodeListener", "NodeManager"]
