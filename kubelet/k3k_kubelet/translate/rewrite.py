"""Texts of the host with the virtual names in them."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from k3k_kubelet.translate import names
from k3k_kubelet.translate.references import references

Rewrite = Callable[[str], str]

_HOST_NAME = re.compile(r"-[a-z2-7]{16}(?![a-z0-9])")
"""How a name made by `names` ends."""


def rewriter(
    obj: Mapping[str, Any],
    cluster: str,
    host_namespace: str,
    host_uid: str,
    others: Mapping[str, str] = MappingProxyType({}),
) -> Rewrite:
    """A function that puts virtual names into a message about an object.

    Args:
        obj: the tenant's object.
        cluster: name of the virtual cluster.
        host_namespace: the namespace of its copies on the host.
        host_uid: uid of the object's copy, `""` for none.
        others: names and uids on the host -> inside, of what it has to do with: volumes are called by the uid
            of their claim, say.

    Returns:
        The function; what it does not know it leaves alone. The names are worked out on first need: most
        messages have none.
    """
    known: dict[str, str] = {}
    namespace = obj["metadata"]["namespace"]
    uids = {**others, host_uid: obj["metadata"]["uid"]} if host_uid else others

    def replaced(match: re.Match[str]) -> str:
        found = match.groupdict()
        if found["quoted"] in known:
            return f'"{namespace}"/"{known[found["quoted"]]}"'
        if found["sandbox"] in known:
            return f"{known[found['sandbox']]}_{namespace}"
        if found["namespace"]:
            return match[0].replace(host_namespace, namespace)
        return known.get(match[0], match[0])

    def rewrite(text: str) -> str:
        if host_namespace in text or _HOST_NAME.search(text):
            known.update(known or _names(obj, cluster))
            text = _places(host_namespace).sub(replaced, text)
        for there, uid in uids.items():
            # Anywhere: control groups are called `pod<uid>`, by systemd with underscores.
            text = text.replace(there, uid).replace(there.replace("-", "_"), uid.replace("-", "_"))
        return text

    return rewrite


@lru_cache(maxsize=16)
def _places(host_namespace: str) -> re.Pattern[str]:
    """Where names may stand.

    One expression for any number of names: a pod may refer to a thousand objects. What is left of the
    namespace stands before objects that are none of the tenant's: its host account.
    """
    name, space, end = r"(?<![a-z0-9-])[a-z0-9-]+", re.escape(host_namespace), "(?![a-z0-9-])"
    return re.compile(
        rf'"{space}"/"(?P<quoted>{name})"|(?P<sandbox>{name})_{space}{end}'
        rf'|(?<![a-z0-9-])(?P<namespace>namespaces?:? (?:"{space}"|{space}{end})|{space}/)|{name}'
    )


def _names(obj: Mapping[str, Any], cluster: str) -> dict[str, str]:
    """Host name -> virtual name, of the object and what it uses."""
    metadata, used = obj["metadata"], references(obj)
    namespace, name = metadata["namespace"], metadata["name"]
    uid = metadata.get("uid", "")  # one that is about to be made has none
    known = {names.token_secret_name(cluster, namespace, name, uid): f"{name}-token"}
    for each in sorted({*used.config_maps, *used.secrets, *used.claims, name}):
        known[names.host_name(cluster, namespace, each)] = each
    return known
