"""What pods use, as the host's metrics.k8s.io says, in the virtual cluster's names."""

from k3k_kubelet.usage.counters import CpuCounters
from k3k_kubelet.usage.reading import HostUsage, PodSample, UnavailableError
from k3k_kubelet.usage.usage import PodUsage, Usage

__all__ = ["CpuCounters", "HostUsage", "PodSample", "PodUsage", "UnavailableError", "Usage"]
