"""The policy document while the kubelet runs: a good one replaces another, nothing else does."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from k3k_kubelet import policy
from k3k_kubelet.sync import policy as policy_file
from k3k_kubelet.sync.policy import PolicyFile

from kubelet.tests.waiting import eventually

STRICT = '{"apiVersion": "k3k-pulumi.io/v1", "pods": {"capabilities": []}}'
LOOSE = '{"apiVersion": "k3k-pulumi.io/v1", "pods": {"privileged": true}}'
WRONG = [
    "",
    "{",
    "{}",
    "[]",
    '{"apiVersion": "k3k-pulumi.io/v2", "pods": {"privileged": true}}',
    '{"apiVersion": "k3k-pulumi.io/v1", "pods": {"privileged": true, "hostIcp": true}}',
    '{"apiVersion": "k3k-pulumi.io/v1", "pods": {"privileged": "yes"}}',
]


def test_without_a_document_there_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(policy.PolicyError, match=r"^policy\.json: .*: No such file or directory$"):
        PolicyFile(tmp_path / "policy.json")


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_document_is_no_policy_to_begin_with(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "policy.json"
    file.write_text(wrong)
    with pytest.raises(policy.PolicyError, match=r"^policy\.json: "):
        PolicyFile(file)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_document_changes_nothing(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "policy.json"
    file.write_text(STRICT)
    found = PolicyFile(file)
    assert not found.read()
    file.write_text(wrong)
    assert not found.read()
    assert found.wrong.startswith("policy.json: ")
    assert not found.read()
    assert found.wrong
    assert found.current.pods.capabilities == ()
    assert not found.current.pods.privileged
    file.write_text(LOOSE)
    assert found.read()
    assert found.current.pods.privileged
    assert not found.wrong


def test_a_document_that_vanishes_leaves_the_last_one_and_may_come_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "policy.json"
    file.write_text(STRICT)
    found = PolicyFile(file)
    file.unlink()
    for _ in range(3):
        assert not found.read()
        assert found.wrong.endswith("No such file or directory")
    assert len(caplog.records) == 1
    assert found.current.pods.capabilities == ()
    file.write_text(STRICT)
    assert not found.read()
    assert not found.wrong


def test_a_changed_document_is_noticed_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_file, "CHECK_SECONDS", 0.01)
    file = tmp_path / "policy.json"
    file.write_text(LOOSE)
    found = PolicyFile(file)
    told: list[bool] = []

    async def test() -> None:
        task = asyncio.create_task(found.run(lambda: told.append(found.current.pods.privileged)))
        file.write_text(STRICT)
        await eventually(lambda: told)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(test())
    assert told == [False]
