"""The pytest plugin, as somebody else's project uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import Host
from tests.e2e.support.clusters import MADE_WITHIN

CONFTEST = """
import pytest

@pytest.fixture(scope="module")
def virtual_cluster_args():
    return {"persistence": {"type": "ephemeral"}}
"""

TESTS = """
import pathlib
from kubernetes import client

def test_first(virtual_cluster):
    api = client.CoreV1Api(virtual_cluster.api_client())
    api.create_namespaced_config_map("default", {"metadata": {"name": "kept"}})
    assert virtual_cluster.kubeconfig_path.stat().st_mode & 0o777 == 0o600
    pathlib.Path("namespace").write_text(virtual_cluster.namespace)

def test_second_has_the_same_cluster_and_fails(virtual_cluster):
    api = client.CoreV1Api(virtual_cluster.api_client())
    assert not api.read_namespaced_config_map("kept", "default")
"""


def test_fixture_of_another_project(host: Host, kubelet_image: str, tmp_path: Path) -> None:
    del kubelet_image
    settings = ("k3k_scope = module", "k3k_distribution = kubernetes", f"k3k_timeout = {MADE_WITHIN:g}")
    (tmp_path / "pytest.ini").write_text("\n".join(("[pytest]", *settings, "")))
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        f"--k3k-kubeconfig={host.kubeconfig}",
        "-p",
        "no:cacheprovider",
    ]
    result = subprocess.run(
        command, cwd=tmp_path, text=True, capture_output=True, check=False, timeout=2 * MADE_WITHIN
    )
    assert "1 failed, 1 passed" in result.stdout, result.stdout + result.stderr
    assert "assert not" in result.stdout
    used = (tmp_path / "namespace").read_text()
    left = [item["metadata"]["name"] for item in host.kubectl.get("namespaces")]
    assert not [name for name in left if name.startswith(used)]
