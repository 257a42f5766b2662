"""The kubelet API of every virtual node: one TLS port each, all in this process."""

from __future__ import annotations

from k3k_kubelet.api.endpoint import Endpoint
from k3k_kubelet.server.access import Access
from k3k_kubelet.server.handler import Handler, Lookup
from k3k_kubelet.server.listener import Limits, Listener, TlsFiles
from k3k_kubelet.server.pages import Pages


class KubeletServer(Listener):
    """The kubelet API; `listen` and `close` take the name of a Node.

    A client without a certificate may have a token.

    Args:
        host: The host's API server.
        lookup: (virtual namespace, name) -> the pod, None for one without a host copy.
        pages: What a Node tells by itself.
        access: Who may do what.
        tls: Certificate files; `reload_tls` after they were renewed.
        limits: Caps and time-outs.
        address: Where to listen, all addresses by default.
    """

    def __init__(
        self,
        host: Endpoint,
        lookup: Lookup,
        pages: Pages,
        access: Access,
        tls: TlsFiles,
        *,
        limits: Limits | None = None,
        address: str = "",
    ) -> None:
        limits = limits or Limits()
        handler = Handler(host, lookup, pages, access, limits)
        super().__init__(tls, handler.answer, limits=limits, address=address)
