"""What a busy machine and a registry's bad minute do to a dev cluster: it takes longer."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

import pytest

from devcluster import api, cgroups, runtime, shell
from devcluster.api import Api, ApiError
from devcluster.errors import DevclusterError

NOBODY = 2**22 + 1
"""A number that no process has: pid_max is 2**22 at the most."""


@pytest.fixture
def fetching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], Path]:
    """A command that fails until it has been run three times, and where it counts."""
    monkeypatch.setattr(shell, "PAUSES", (0.0, 0.0))
    count = tmp_path / "count"
    script = (
        f"echo once >> {count}; [ $(wc -l < {count}) = 3 ] && echo fetched || {{ echo 502 >&2; exit 1; }}"
    )
    return ["sh", "-c", script], count


def test_what_cannot_be_fetched_is_asked_for_again(fetching: tuple[list[str], Path]) -> None:
    command, count = fetching
    assert shell.fetch(*command) == "fetched\n"
    assert count.read_text() == "once\n" * 3


def test_what_cannot_be_fetched_at_all_is_an_error_with_its_reason(
    fetching: tuple[list[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    command, count = fetching
    monkeypatch.setattr(shell, "PAUSES", (0.0,))
    with pytest.raises(DevclusterError, match="ended with 1:\n502"):
        shell.fetch(*command)
    assert count.read_text() == "once\n" * 2


class Node:
    """A node whose containerd loads what it is given at the attempt of that number."""

    name = "node-1"
    snapshotter = "overlayfs"

    def __init__(self, folder: Path, loads_at: int) -> None:
        self.folder, self._loads_at = folder, loads_at

    def command(self, *_: str) -> list[str]:
        script = f"cat >> {self.folder}/got; [ $(wc -l < {self.folder}/got) = {self._loads_at} ] || exit 1"
        return ["sh", "-c", script]


@pytest.mark.parametrize("loads_at", [1, 2, 3, 4])
def test_an_archive_that_does_not_get_into_a_node_is_loaded_again(
    tmp_path: Path, loads_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "wait", lambda _: None)
    archive = tmp_path / "it.tar"
    archive.write_text("whole\n")
    node: Any = Node(tmp_path, loads_at)
    if loads_at > runtime.LOADS:
        with pytest.raises(DevclusterError, match="cannot be loaded into node-1"):
            runtime.load([node], [archive])
    else:
        assert runtime.load([node], [archive]) == 1
        assert runtime.load([node], [archive]) == 0
    assert (tmp_path / "got").read_text() == "whole\n" * min(loads_at, runtime.LOADS)


def test_a_process_that_ends_by_itself_leaves_a_cgroup_to_remove(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").write_text(f"{NOBODY}\n")
    assert cgroups._remove_tree(tmp_path)


class Answers(Api):
    """An API server that answers what it is told to, one after the other."""

    def __init__(self, *answers: Exception | str) -> None:
        self.answers = list(answers)

    def _once(self, *_: Any) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def refusal(status: int) -> ApiError:
    return ApiError("GET", "/api", status, "no")


def test_an_api_server_that_has_no_time_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "POLL", 0.0)
    busy = [refusal(status) for status in (409, 429, 500, 503, 504)]
    gone = [ConnectionRefusedError(), http.client.RemoteDisconnected(), http.client.IncompleteRead(b"")]
    assert Answers(*busy, *gone, "ok").request("GET", "/api") == "ok"


def test_what_it_refuses_it_is_not_asked_again() -> None:
    for status in (400, 403, 422):
        server = Answers(refusal(status), "ok")
        with pytest.raises(ApiError):
            server.request("GET", "/api")
        assert server.answers == ["ok"]
    assert Answers(refusal(404), "ok").get("/api") is None


def test_an_api_server_that_is_gone_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "PATIENCE", 0.0)
    with pytest.raises(ConnectionRefusedError):
        Answers(ConnectionRefusedError(), ConnectionRefusedError(), ConnectionRefusedError()).request(
            "GET", "/"
        )
    assert not Answers(ConnectionRefusedError(), "ok").ready()
