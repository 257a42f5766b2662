"""Texts of the host with the virtual names in them."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from k3k_kubelet.translate import names
from k3k_kubelet.translate.references import references

Rewrite = Callable[[str], str]

_HOST_NAME = re.compile(r"-[a-z2-7]{16}(?![a-z0-9])")
"""How a name made by `names` ends."""


def rewriter(pod: Mapping[str, Any], cluster: str, host_namespace: str, host_uid: str) -> Rewrite:
    """A function that puts virtual names into a message about a pod.

    Args:
        pod: the tenant's pod.
        cluster: name of the virtual cluster.
        host_namespace: the namespace of its pods on the host.
        host_uid: uid of the pod's copy.

    Returns:
        The function; what it does not know it leaves alone. The names are worked out on first need: most
        messages have none.
    """
    pairs: list[tuple[re.Pattern[str], str]] = []

    def rewrite(text: str) -> str:
        uids = (host_uid, host_uid.replace("-", "_"))
        if not any(found in text for found in (*uids, host_namespace)) and not _HOST_NAME.search(text):
            return text
        if not pairs:
            pairs.extend(_pairs(pod, cluster, host_namespace, host_uid))
        for pattern, replacement in pairs:
            text = pattern.sub(lambda _, fixed=replacement: fixed, text)  # type: ignore[misc]
        return text

    return rewrite


def _pairs(
    pod: Mapping[str, Any], cluster: str, host_namespace: str, host_uid: str
) -> list[tuple[re.Pattern[str], str]]:
    metadata = pod["metadata"]
    namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
    used = references(pod)
    known = {names.token_secret_name(cluster, namespace, name, uid): f"{name}-token"}
    for each in sorted({*used.config_maps, *used.secrets, *used.claims, name}):
        known[names.host_name(cluster, namespace, each)] = each
    literal: dict[str, str] = {}
    for host, virtual in known.items():
        literal[f"{host_namespace}/{host}"] = f"{namespace}/{virtual}"
        literal[f'"{host_namespace}"/"{host}"'] = f'"{namespace}"/"{virtual}"'
        literal[f"{host}_{host_namespace}"] = f"{virtual}_{namespace}"
        literal[host] = virtual
    literal[f'namespace "{host_namespace}"'] = f'namespace "{namespace}"'
    pairs = [
        (re.compile(rf"(?<![a-z0-9-]){re.escape(old)}(?![a-z0-9-])"), new) for old, new in literal.items()
    ]
    # What is left of the namespace stands before objects that are none of the tenant's: its host account.
    pairs.append((re.compile(rf"(?<![a-z0-9-]){re.escape(host_namespace)}/"), f"{namespace}/"))
    if host_uid:  # anywhere: control groups are called `pod<uid>`, by systemd with underscores
        pairs += [
            (re.compile(re.escape(host_uid)), uid),
            (re.compile(re.escape(host_uid.replace("-", "_"))), uid.replace("-", "_")),
        ]
    return pairs
