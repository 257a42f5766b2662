"""The kubelet API: logs, exec, attach and port-forward for the virtual API server, and what a Node tells."""

from k3k_kubelet.server.access import Access
from k3k_kubelet.server.handler import PodRef
from k3k_kubelet.server.listener import Limits, Listener, TlsFiles
from k3k_kubelet.server.pages import Pages
from k3k_kubelet.server.server import KubeletServer

__all__ = ["Access", "KubeletServer", "Limits", "Listener", "Pages", "PodRef", "TlsFiles"]
