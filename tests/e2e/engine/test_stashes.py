"""What the state keeps of a cluster's keys, and which changes of `pki` change it: on the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from k3k_pulumi.pki import KeyPair, create_authority
from tests.e2e.support.engine import Project

pytestmark = [pytest.mark.needs_engine, pytest.mark.xdist_group("engine")]

PROGRAM = """
import pulumi
from k3k_pulumi.model import VirtualClusterSpec
from k3k_pulumi.stash import kept_pki

given = {{field: pulumi.Output.secret(value) for field, value in {given!r}.items()}}
parent = pulumi.ComponentResource("project:index:Cluster", "c")
keys = kept_pki(VirtualClusterSpec.parse("c", {{"namespace": "team"}}), parent, "c", given)
for name in ("server_ca", "client_ca", "admin"):
    pulumi.export(name, [getattr(keys, name).certificate, getattr(keys, name).key])
pulumi.export("join_token", keys.join_token)
"""


@pytest.fixture
def project(variables: dict[str, str], tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path, "stashes", variables)
    yield made
    made.stack.destroy()


def given(pair: KeyPair[str], token: str) -> dict[str, str]:
    return {"client_ca_certificate": pair.certificate, "client_ca_key": pair.key, "join_token": token}


def test_the_last_given_keys_stay_when_they_are_left_out(project: Project) -> None:
    def deployed(keys: dict[str, str]) -> dict[str, object]:
        project.write(PROGRAM.format(given=keys))
        return {name: output.value for name, output in project.stack.up().outputs.items()}

    first, second = create_authority("first"), create_authority("second")
    made = deployed({})
    taken = deployed(given(first, "a" * 16))
    assert taken["client_ca"] == [first.certificate, first.key]
    assert taken["join_token"] == "a" * 16
    assert taken["server_ca"] == made["server_ca"]
    assert taken["admin"] != made["admin"]  # signed by the new CA
    assert deployed({}) == taken

    changed = deployed(given(second, "b" * 16))
    assert changed["client_ca"] == [second.certificate, second.key]
    assert changed["join_token"] == "b" * 16
    assert changed["server_ca"] == made["server_ca"]
    assert changed["admin"] != taken["admin"]
    assert set(project.stack.preview(expect_no_changes=True).change_summary) == {"same"}
