"""`admitted`: a client is held back until a real API server lets it in, and no longer."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from k3k_kubelet import certificates
from k3k_kubelet.admitted import wait
from k3k_kubelet.certificates import Admitted

from kubelet.tests.controlplane import ADDRESS, ControlPlane, free_ports

USER = "somebody-new"


def kubeconfig(folder: Path, plane: ControlPlane, port: int) -> Path:
    """A kubeconfig of a user without rights; made as CoreDNS' pod makes its own."""
    out = folder / "kubeconfig"
    document = {
        "certificates": [
            {
                "name": USER,
                "out": str(folder / "client"),
                "ca_certificate": str(plane.pki / "client-ca.crt"),
                "ca_key": str(plane.pki / "client-ca.key"),
                "common_name": USER,
                "usages": ["client"],
            }
        ],
        "kubeconfigs": [
            {
                "out": str(out),
                "server": f"https://{ADDRESS}:{port}",
                "ca_certificate": str(plane.pki / "server-ca.crt"),
                "certificate": str(folder / "client.crt"),
                "key": str(folder / "client.key"),
            }
        ],
    }
    spec = folder / "spec.json"
    spec.write_text(json.dumps(document))
    certificates.apply(certificates.load_spec(spec))
    return out


def test_it_ends_when_the_client_has_its_rights(control_plane: ControlPlane, tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, control_plane, control_plane.port)
    wanted = Admitted(str(file), "/api/v1/namespaces?limit=1", 60.0)
    binding = f"--clusterrole=cluster-admin --user={USER}".split()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait, wanted, threading.Event())
        with pytest.raises(TimeoutError):
            waiting.result(1.0)
        control_plane.kubectl("create", "clusterrolebinding", USER, *binding)
        assert waiting.result(60.0) is True


@pytest.mark.parametrize("is_stopped", [True, False])
def test_it_ends_with_its_time_or_when_told(
    control_plane: ControlPlane, tmp_path: Path, is_stopped: bool
) -> None:
    (port,) = free_ports(1)  # where nobody listens
    file = kubeconfig(tmp_path, control_plane, port)
    stop = threading.Event()
    if is_stopped:
        stop.set()
    begun = time.monotonic()
    assert wait(Admitted(str(file), "/readyz", 60.0 if is_stopped else 0.5), stop) is False
    assert time.monotonic() - begun < 30.0
