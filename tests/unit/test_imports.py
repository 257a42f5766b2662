"""What `import k3k_pulumi` costs: which modules it leaves for later. docs/benchmarks.md has the time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.run import ROOT

HEAVY = ("pydantic", "pydantic_core", "cryptography", "kubernetes", "jsonschema", "pulumi_kubernetes.core.v1")
"""Each takes 30 ms to 1 s: the first two are for the first component, cryptography for the first cluster."""


def loaded(program: str) -> list[str]:
    """Which heavy modules a program has loaded at its end."""
    ask = f"import sys; print(*(each for each in {HEAVY!r} if each in sys.modules))"
    command = [sys.executable, "-c", f"{program}\n{ask}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize(
    "program",
    [
        "import k3k_pulumi",
        "from k3k_pulumi import VirtualCluster, VirtualClusterArgs",
        "from k3k_pulumi import VirtualClusterPolicy, VirtualClusterPolicyArgs",
        "from k3k_pulumi import SharedModeNamespace, SharedModeNamespaceArgs, InputError",
    ],
)
def test_the_import_leaves_what_is_heavy_for_the_first_component(program: str) -> None:
    assert loaded(program) == []


def test_without_a_component_pulumi_itself_is_left_out() -> None:
    program = "import sys, k3k_pulumi\nassert 'pulumi' not in sys.modules"
    assert loaded(program) == []


def test_a_specification_takes_pydantic_and_a_key_cryptography() -> None:
    parse = (
        "from k3k_pulumi.model import VirtualClusterSpec\nVirtualClusterSpec.parse('c', {'namespace': 'n'})"
    )
    assert loaded(parse) == ["pydantic", "pydantic_core"]
    assert "cryptography" in loaded("from k3k_pulumi.pki import create_key")
