"""What stops a virtual cluster, and how it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from k3k_pulumi import direct
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.polling import eventually

_SYSCTL = "net.ipv4.tcp_keepalive_time"
"""Safe since Kubernetes 1.29, and refused by the levels of Pod Security of earlier versions."""
SECURITY_CONTEXT: dict[str, Any] = {"sysctls": [{"name": _SYSCTL, "value": "600"}]}
"""Of a cluster whose pods an older level refuses."""
REFUSED = f'is forbidden: violates PodSecurity "restricted:v1.24": forbidden sysctls ({_SYSCTL})'
"""How."""


def guard(namespace: Kubectl, version: str) -> None:
    """Lets pods into a namespace that are `restricted` as Kubernetes of that version has it, no others."""
    level = {"enforce": "restricted", "enforce-version": version}
    labels = [f"pod-security.kubernetes.io/{key}={value}" for key, value in level.items()]
    namespace("label", "namespace", namespace.namespace, "--overwrite", *labels)


def told(make: Callable[[], object], *causes: str) -> None:
    """Waits until the error of who makes a cluster says all this.

    It comes each time; on a machine that is busy it may take more than one try to know the causes.
    """

    def says_it_all() -> bool:
        with pytest.raises(direct.DirectError) as caught:
            make()
        text = str(caught.value)
        for cause in causes:
            assert cause in text, text
        return True

    eventually(says_it_all)
