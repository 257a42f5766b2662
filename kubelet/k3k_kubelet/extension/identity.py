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
    name = request.header(b"x-remote-user")
    if not name:
        raise HttpError(401, "Unauthorized")
    groups = _all(request, b"x-remote-group")
    if name != _ANONYMOUS and _AUTHENTICATED not in groups:
        # As generic API servers do: the aggregator itself comes without groups.
        groups = (*groups, _AUTHENTICATED)
    extra: dict[str, list[str]] = {}
    for key, value in request.headers:
        if key.startswith(_EXTRA):
            name_of = unquote(key.removeprefix(_EXTRA).decode("latin-1"))
            extra.setdefault(name_of, []).append(value.decode("latin-1"))
    return Identity(name, request.header(b"x-remote-uid"), groups, extra)


def _all(request: Request, name: bytes) -> tuple[str, ...]:
    return tuple(value.decode("latin-1") for key, value in request.headers if key == name)
