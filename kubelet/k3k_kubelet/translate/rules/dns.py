"""What a pod's resolver asks, and for which names: what a node makes of dnsPolicy and dnsConfig.

Source of the rules: pkg/kubelet/network/dns/dns.go of Kubernetes (getPodDNSType, appendDNSConfig,
formDNSConfigFitsLimits) and core/v1's limits, which the host's API server checks.
"""

from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate.context import Context
from k3k_kubelet.translate.objects import Object

MAX_NAMESERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_CHARACTERS = 2048

_NDOTS = "5"
"""Names with fewer dots are looked for in the search domains first."""


def resolver(spec: Object, context: Context, value: Mapping[str, Any]) -> None:
    """Set dnsPolicy and dnsConfig of a host pod's spec.

    The host's own `ClusterFirst` leads to the host's DNS. So the cluster's is named in full, with `None`.

    Args:
        spec: the host's copy so far, with the pod's own dnsConfig if it has one.
        context: the translation.
        value: the spec inside.
    """
    if not _asks_the_cluster(value):
        spec["dnsPolicy"] = "None" if value.get("dnsPolicy") == "None" else "Default"
        return
    own = spec.get("dnsConfig", {})
    domain = context.cluster.cluster_domain
    searches = [f"{context.namespace}.svc.{domain}", f"svc.{domain}", domain]
    nameservers = _unique([context.cluster.dns_host, *own.get("nameservers", ())])
    if len(nameservers) > MAX_NAMESERVERS:
        rest = ", ".join(nameservers[MAX_NAMESERVERS:])
        context.drop(
            "spec.dnsConfig.nameservers",
            f"{rest} left out: with the cluster's own a pod has at most {MAX_NAMESERVERS}",
        )
    spec["dnsPolicy"] = "None"
    spec["dnsConfig"] = {
        "nameservers": nameservers[:MAX_NAMESERVERS],
        "searches": _fitting(_unique([*searches, *own.get("searches", ())]), context),
        "options": _merged(own.get("options", ())),
    }


def _asks_the_cluster(spec: Mapping[str, Any]) -> bool:
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst":
        return not spec.get("hostNetwork")  # there it means Default
    return bool(policy == "ClusterFirstWithHostNet")


def _fitting(searches: list[str], context: Context) -> list[str]:
    """As many search domains as a pod may have."""
    kept: list[str] = []
    length = -1  # of all of them with a space between two
    for search in searches[:MAX_SEARCHES]:
        length += len(search) + 1
        if length > MAX_SEARCH_CHARACTERS:
            break
        kept.append(search)
    if len(kept) < len(searches):
        context.drop(
            "spec.dnsConfig.searches",
            f"{', '.join(searches[len(kept) :])} left out: with the cluster's own a pod has at most "
            f"{MAX_SEARCHES} search domains, of {MAX_SEARCH_CHARACTERS} characters together",
        )
    return kept


def _merged(options: list[Object] | tuple[()]) -> list[Object]:
    """The pod's options over ours; of one that stands there twice, the last."""
    by_name: dict[str, Object] = {"ndots": {"name": "ndots", "value": _NDOTS}}
    by_name |= {option.get("name", ""): option for option in options}
    return list(by_name.values())


def _unique(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))
