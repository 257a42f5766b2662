"""Ranges of the virtual API server's Services: grown where the host's Services have addresses elsewhere.

Kubernetes has ServiceCIDR objects from 1.33 on (KEP-1880). Older servers have their flag alone.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Iterable

from k3k_kubelet.api import AlreadyExistsError, ApiClient, Resource
from k3k_kubelet.api.client import Object

log = logging.getLogger(__name__)

SERVICE_CIDRS = Resource("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", namespaced=False)
SINCE = 33
"""Minor version of Kubernetes."""
PREFIXES = {4: 16, 6: 64}
"""Of a range that is added: the host's addresses are likely to stay within it."""
_KNOWN_SECONDS = 60.0
_READY_SECONDS, _POLL_SECONDS = 15.0, 0.05
"""A new range is waited for beyond the time that an admission has, which tells its client to try again then:
the API server would call the address invalid."""
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ServiceCidrs:
    """Has the virtual API server take the host's addresses.

    Args:
        virtual: The virtual API server.
        version: Its version, such as `v1.34.4`.
    """

    def __init__(self, virtual: ApiClient, version: str) -> None:
        self._virtual = virtual
        self._can_grow = _minor(version) >= SINCE
        self._ranges: tuple[_Network, ...] = ()
        self._known_until = float("-inf")
        self._lock = asyncio.Lock()

    async def ensure(self, addresses: Iterable[str]) -> None:
        """Returns when the API server has ranges with these addresses, as far as ranges can be added.

        Raises:
            ApiError: They cannot be read or added.
        """
        if not self._can_grow:
            return
        for address in map(ipaddress.ip_address, addresses):
            if time.monotonic() < self._known_until and self._contains(address):
                continue
            async with self._lock:
                await self._look()
                if not self._contains(address):
                    await self._add(address)

    def _contains(self, address: _Address) -> bool:
        return any(address in each for each in self._ranges)

    async def _look(self) -> None:
        """Reads the ranges that are in use."""
        found = await self._virtual.list_all(SERVICE_CIDRS)
        ready = [each for each in found if _is_ready(each)]
        self._ranges = tuple(ipaddress.ip_network(cidr) for each in ready for cidr in each["spec"]["cidrs"])
        self._known_until = time.monotonic() + _KNOWN_SECONDS

    async def _add(self, address: _Address) -> None:
        cidr = ipaddress.ip_network((address, PREFIXES[address.version]), strict=False)
        name = f"k3k-pulumi-{int(cidr.network_address):x}-{cidr.prefixlen}"
        body: Object = {
            "apiVersion": SERVICE_CIDRS.api_version,
            "kind": SERVICE_CIDRS.kind,
            "metadata": {"name": name},
            "spec": {"cidrs": [str(cidr)]},
        }
        try:
            await self._virtual.create(SERVICE_CIDRS, None, body)
            log.info("range of Services added", extra={"cidr": str(cidr)})
        except AlreadyExistsError:
            log.debug("range of Services is there", extra={"cidr": str(cidr)})
        deadline = time.monotonic() + _READY_SECONDS
        while not self._contains(address) and time.monotonic() < deadline:
            await self._look()
            if not self._contains(address):
                await asyncio.sleep(_POLL_SECONDS)


def _is_ready(service_cidr: Object) -> bool:
    conditions = (service_cidr.get("status") or {}).get("conditions") or ()
    ready = any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
    return ready and "deletionTimestamp" not in service_cidr["metadata"]


def _minor(version: str) -> int:
    """`v1.34.4` -> 34."""
    return int(version.split(".")[1])
