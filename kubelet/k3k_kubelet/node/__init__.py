"""Virtual Nodes: made when the host first runs a pod of this cluster there, or mirrored from the host."""

from k3k_kubelet.node.manager import NodeManager, NodeTakenError, of_daemon_set
from k3k_kubelet.node.serving import NodeApis, NodeListener

__all__ = ["NodeApis", "NodeListener", "NodeManager", "NodeTakenError", "of_daemon_set"]
