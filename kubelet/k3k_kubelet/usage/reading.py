"""Reads the host's metrics.k8s.io: PodMetrics of the workload namespace, this cluster's pods alone.

The right to do so is namespaced. That of a real kubelet's own figures (nodes/proxy) would include to run
commands in every pod of the host.
"""

from __future__ import annotations

import asyncio
import datetime
import re
import time
from collections.abc import Callable, Mapping

import msgspec

from k3k_kubelet import quantity
from k3k_kubelet.api import ApiClient, ApiError, Resource
from k3k_kubelet.translate import identity

POD_METRICS = Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics")
FRESH_SECONDS = 5.0
"""How long a reading serves all who ask. metrics-server takes a sample every 15 s as a rule."""

_DURATION = re.compile(r"(\d+(?:\.\d*)?)(h|ms|m|s|us|µs|ns)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class UnavailableError(Exception):
    """The host tells no usage; the text says why, in words that a tenant may read."""


class _Amounts(msgspec.Struct, frozen=True, gc=False):
    cpu: str = "0"
    memory: str = "0"


class ContainerSample(msgspec.Struct, frozen=True, gc=False):
    """What a container used.

    Attributes:
        usage: Quantities as the host wrote them: `cpu` in cores, a mean of the window; `memory` in bytes.
    """

    name: str
    usage: _Amounts = _Amounts()

    @property
    def nanocores(self) -> int:
        """CPU in billionths of a core."""
        return int(quantity.parse(self.usage.cpu).scaleb(9))

    @property
    def memory(self) -> int:
        """Working set in bytes."""
        return int(quantity.parse(self.usage.memory))


class _Named(msgspec.Struct, frozen=True, gc=False):
    name: str


class PodSample(msgspec.Struct, frozen=True):
    """PodMetrics of the host.

    Attributes:
        metadata: `name` is the host pod's.
        timestamp: End of the window, RFC 3339.
        window: Length of the window over which CPU is the mean, a Go duration such as `10.5s`.
        containers: One for each running container, sidecars that the host injected included.
    """

    metadata: _Named
    timestamp: str
    window: str
    containers: tuple[ContainerSample, ...] = ()

    @property
    def at(self) -> float:
        """`timestamp` in seconds of the epoch."""
        return datetime.datetime.fromisoformat(self.timestamp).timestamp()

    @property
    def window_seconds(self) -> float:
        """`window` in seconds."""
        return seconds(self.window)


class _PodMetricsList(msgspec.Struct, frozen=True):
    items: tuple[PodSample, ...] = ()


_DECODER = msgspec.json.Decoder(_PodMetricsList)
Reading = Mapping[str, PodSample]
"""Name of a host pod -> its sample."""


class HostUsage:
    """The newest reading.

    Args:
        host: Host API server.
        namespace: Host namespace of the cluster's pods.
        cluster: Name of the virtual cluster.
        clock: Seconds, for the age of a reading.
    """

    def __init__(
        self, host: ApiClient, namespace: str, cluster: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._host = host
        self._path = POD_METRICS.path(namespace)
        self._query = {"labelSelector": f"{identity.CLUSTER}={cluster}"}
        self._clock = clock
        self._lock = asyncio.Lock()
        self._read_at = float("-inf")
        self._last: Reading | UnavailableError = {}

    async def read(self) -> Reading:
        """A reading not older than `FRESH_SECONDS`; who asks at the same time shares one request.

        Raises:
            UnavailableError: The host has no metrics.k8s.io, or it does not answer.
        """
        async with self._lock:
            if self._clock() - self._read_at >= FRESH_SECONDS:
                self._last = await self._ask()
                self._read_at = self._clock()
        if isinstance(self._last, UnavailableError):
            raise UnavailableError(str(self._last))
        return self._last

    async def _ask(self) -> Reading | UnavailableError:
        try:
            listed = await self._host.read(self._path, _DECODER.decode, query=self._query)
        except ApiError as error:
            return UnavailableError(_why(error))
        return {item.metadata.name: item for item in listed.items if _is_sound(item)}


def _why(error: ApiError) -> str:
    if error.code == 404:
        return (
            "the host cluster has no metrics.k8s.io API, so the usage of pods is not known: "
            "metrics-server or another server of that API has to be installed there"
        )
    answer = f"HTTP status {error.code}" if error.code else "no answer"
    return f"the host cluster's metrics.k8s.io API cannot be read at present ({answer}); try again later"


def _is_sound(sample: PodSample) -> bool:
    """Whether all figures of a sample can be read: one that cannot must not keep back the others."""
    try:
        _ = sample.at, sample.window_seconds
        _ = [(each.nanocores, each.memory) for each in sample.containers]
    except ValueError:
        return False
    return True


def seconds(duration: str) -> float:
    """A Go duration in seconds.

    Raises:
        ValueError: It is none.
    """
    if not duration or _DURATION.sub("", duration):
        raise ValueError(f"{duration!r} is no duration")
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(duration))
