"""Host names that a tenant may answer for on the host's ingress controllers and gateways."""

import re
from collections.abc import Collection

from k3k_kubelet.translate.objects import Refused

ANY = "*"
"""The entry of a policy's list that allows every name, and requests that name no host of the tenant's."""

_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
_MAX = 253
_SHOWN = 10


def is_host(host: str) -> bool:
    """Whether a rule can have this host: a DNS name, its first label may be `*`."""
    return len(host) <= _MAX and _HOST.fullmatch(host) is not None


def is_allowed(host: str, allowed: Collection[str]) -> bool:
    """Whether the list has the host.

    `*.example.com` means what it means in an Ingress: one label in place of the asterisk. It covers itself
    and `a.example.com`, but neither `example.com` nor `a.b.example.com`.
    """
    if not is_host(host):
        return False
    _, dot, domain = host.partition(".")
    return ANY in allowed or host in allowed or (dot == "." and f"*.{domain}" in allowed)


def check(host: str, allowed: Collection[str], path: str, key: str) -> str:
    """Give back the host.

    Args:
        host: what the tenant wrote.
        allowed: the policy's list.
        path: where he wrote it.
        key: the policy's key with the list.

    Raises:
        Refused: the list does not have it.
    """
    if not is_allowed(host, allowed):
        raise Refused(path, f"host {host!r} is not one that this cluster may answer for", _said(allowed, key))
    return host


def check_any(what: str, allowed: Collection[str], path: str, key: str) -> None:
    """Raise Refused unless the list allows requests for every host; `what` asks for them."""
    if ANY not in allowed:
        raise Refused(path, f"{what} takes requests for every host name", _said(allowed, key))


def _said(allowed: Collection[str], key: str) -> str:
    if not allowed:
        return f"the policy's {key} allows none"
    shown = ", ".join(sorted(allowed)[:_SHOWN])
    more = f" and {len(allowed) - _SHOWN} more" if len(allowed) > _SHOWN else ""
    return f"the policy's {key} allows {shown}{more}"
