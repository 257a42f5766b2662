"""Who sent an aggregated request: the API server says it in headers, and proves itself by its certificate.

Only a client with a certificate of the request-header CA gets past the TLS handshake, and that CA's one leaf
is the API server's (--proxy-client-cert-file), which strips what its own clients sent of these headers. Names
of the headers: the --requestheader-* flags of the control plane.
"""

from __future__ import annotations

from urllib.parse import unquote

from k3k_kubelet.server.access import Identity
from k3k_kubelet.server.messages import HttpError, Request

_ANONYMOUS, _AUTHENTICATED = "system:anonymous", "system:authenticated"
_EXTRA = b"x-remote-extra-"


def of_headers(request: Request) -> Identity:
    """The user for whom the API server asks.

    Raises:
        HttpError: 401, no user is named.
    """
    name = "".join(_all(request, b"x-remote-user")[:1])
    if not name:
        raise HttpError(401, "Unauthorized")
    groups = _all(request, b"x-remote-group")
    if name != _ANONYMOUS and _AUTHENTICATED not in groups:
        # As generic API servers do: the aggregator itself comes without groups.
        groups = (*groups, _AUTHENTICATED)
    extra: dict[str, list[str]] = {}
    for key, value in request.headers:
        if key.startswith(_EXTRA):
            extra.setdefault(unquote(_text(key.removeprefix(_EXTRA))), []).append(_text(value))
    return Identity(name, "".join(_all(request, b"x-remote-uid")[:1]), groups, extra)


def _all(request: Request, name: bytes) -> tuple[str, ...]:
    return tuple(_text(value) for key, value in request.headers if key == name)


def _text(value: bytes) -> str:
    """A header as the API server wrote it: names are UTF-8, and read otherwise they are somebody else's."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise HttpError(401, "Unauthorized") from None
