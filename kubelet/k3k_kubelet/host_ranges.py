"""Whether the host's own addresses are where they were said to be.

With the egress `internet` a cluster's pods may connect to everything but private ranges and those that were
given as the host's (`host_cidrs`). Nodes or pods of the host that have public addresses which nobody gave
would be open to them. Nobody can list a host's addresses without rights on it, but some show by themselves:
those of this process' pod and node, of the Services, and of the pods of the cluster and their nodes.
"""

from __future__ import annotations

import functools
import ipaddress
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

log = logging.getLogger(__name__)

_SHOWN = 5


class HostRanges:
    """The ranges in which the host's addresses have to be.

    Args:
        cidrs: The ranges; empty for anywhere.
    """

    def __init__(self, cidrs: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(cidr) for cidr in cidrs]
        self._is_unlisted = functools.lru_cache(4096)(self._look)

    def unlisted(self, addresses: Iterable[str]) -> list[str]:
        """Those of the addresses that are in none of the ranges; what is no address is none of them.

        Each is logged when it is first seen.
        """
        return [each for each in addresses if self._networks and self._is_unlisted(each)]

    def of_pod(self, pod: Mapping[str, Any]) -> list[str]:
        """Unlisted addresses of a host pod and its node."""
        status = pod.get("status") or {}
        lists = (status.get("hostIPs") or (), status.get("podIPs") or ())
        found = {each["ip"] for some in lists for each in some if each.get("ip")}
        return self.unlisted(sorted(found | {ip for ip in (status.get("hostIP"),) if ip}))

    def of_node(self, node: Mapping[str, Any]) -> list[str]:
        """Unlisted addresses of a node of the host: those by which the host's own pods reach it."""
        found = (node.get("status") or {}).get("addresses") or ()
        return self.unlisted(each["address"] for each in found if each["type"] == "InternalIP")

    def _look(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        if any(address in network for network in self._networks):
            return False
        log.error(advice([text]))
        return True


def advice(addresses: Iterable[str]) -> str:
    """What unlisted addresses mean, and what to do about them."""
    found = sorted(addresses)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    shown = ", ".join(found[:_SHOWN]) + more
    return (
        f"the host has addresses that are neither private nor in host_cidrs: {shown}. With the egress "
        "'internet' the cluster's pods could connect to them: add the host's public ranges (nodes, pods, "
        "Services) to host_cidrs of the VirtualCluster, or set egress to 'none'"
    )
