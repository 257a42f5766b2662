"""When the API server of a virtual cluster asks the kubelet about Services."""

from __future__ import annotations

import json
import secrets

from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.polling import eventually


def await_admission(inside: Kubectl) -> None:
    """Waits until a Service that no policy of the tests gives is refused.

    A cluster is ready a moment before: its API server learns of the webhook by a watch of its own. A dry run
    would not tell, since the kubelet makes nothing for one.
    """
    name = f"early-{secrets.token_hex(4)}"
    spec = {"externalIPs": ["192.0.2.1"], "ports": [{"port": 80}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}

    def refused() -> bool:
        answer = inside.run("create", "-f", "-", stdin=json.dumps(service).encode())
        if answer.returncode == 0:
            inside("delete", "service", name)
        assert b"spec.externalIPs[0]" in answer.stderr, answer
        return True

    eventually(refused)
