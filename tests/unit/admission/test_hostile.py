"""The hostile pods of tests/e2e/hostile, as if translation had let them through as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kubelet.tests.translate.builders import pod, to_host
from tests.e2e.support import hostile
from tests.unit.admission.conftest import Host

pytestmark = pytest.mark.xdist_group("admission")  # one API server for all of them

FILES = sorted(each for kind in ("power", "volume") for each in hostile.FOLDER.glob(f"{kind}-*.yaml"))
HARMLESS = {"power-ephemeral-container-at-birth"}
"""No API server takes these containers at birth, so that translation leaves them out."""


def raw(file: Path) -> list[dict[str, Any]]:
    """The pods of a case with the identity of host pods, and nothing else translated."""
    _, objects = hostile.read(file, dict.fromkeys(hostile.KNOWN, "x"), lambda name: name)
    found = []
    for each in objects:
        if each["kind"] == "Pod":
            made = to_host(pod()).manifest
            made["spec"] = {**made["spec"], **each["spec"], "automountServiceAccountToken": False}
            found.append(made)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_hostile_pod_is_refused_without_the_kubelet(host: Host, file: Path) -> None:
    pods = raw(file)
    assert pods
    for each in pods:
        code, message = host.answer("plain", each)
        if file.stem not in HARMLESS:
            assert code in (400, 403, 422), message
            assert code != 403 or "ValidatingAdmissionPolicy 'plain.k3k-pulumi.io'" in message, message
