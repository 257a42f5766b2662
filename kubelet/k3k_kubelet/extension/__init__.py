"""What the kubelet adds to the virtual API server: metrics.k8s.io, admission of Services, what DNS needs."""

from k3k_kubelet.extension.dns import Dns
from k3k_kubelet.extension.metrics_api import MetricsApi
from k3k_kubelet.extension.registration import HOST_NAME, Registration
from k3k_kubelet.extension.server import ExtensionServer
from k3k_kubelet.extension.webhook import Webhook

__all__ = ["HOST_NAME", "Dns", "ExtensionServer", "MetricsApi", "Registration", "Webhook"]
