"""The kubelet API: logs, exec, attach and port-forward for the virtual API server."""

from k3k_kubelet.server.access import Access
from k3k_kubelet.server.handler import Limits, PodRef
from k3k_kubelet.server.server import KubeletServer, TlsFiles

__all__ = ["Access", "KubeletServer", "Limits", "PodRef", "TlsFiles"]
