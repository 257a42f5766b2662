"""Waits until an API server lets a client in: it is up, and the client has the rights that it needs.

Programs on client-go pause ever longer between attempts, up to 30 s. One that is started together with its
API server is started sooner if it waits here first.
"""

from __future__ import annotations

import http.client
import json
import logging
import ssl
import threading
import time
import urllib.request
from pathlib import Path

from k3k_kubelet.certificates import Admitted

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.2
ANSWER_SECONDS = 2.0
"""For one request: a packet that a NetworkPolicy drops is not answered."""


def wait(wanted: Admitted, stop: threading.Event) -> bool:
    """Waits until the request is answered, the time is over or `stop` is set; returns whether it was."""
    server, context = _client(Path(wanted.kubeconfig))
    deadline = time.monotonic() + wanted.seconds
    while True:
        reason = _refusal(server + wanted.path, context)
        if reason is None:
            return True
        if time.monotonic() > deadline:
            log.warning("not waiting any longer for %s: %s", server, reason)
            return False
        if stop.wait(PAUSE_SECONDS):
            return False


def _refusal(url: str, context: ssl.SSLContext) -> str | None:
    """Why a GET was not answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS, context=context):  # noqa: S310 (https)
            return None
    except (OSError, http.client.HTTPException) as error:
        return str(error)


def _client(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    document = json.loads(kubeconfig.read_bytes())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    context = ssl.create_default_context(cafile=cluster["certificate-authority"])
    # Python's stricter reading of RFC 5280, on by default from 3.13 on, refuses CAs that Go accepts.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.load_cert_chain(user["client-certificate"], user["client-key"])
    return cluster["server"], context
