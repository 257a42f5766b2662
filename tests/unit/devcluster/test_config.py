"""Names and addresses of instances, and where a new one goes."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from devcluster import config, lifecycle, network, worker
from devcluster.cli import main
from devcluster.config import Instance
from devcluster.errors import DevclusterError


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _ranges(instance: Instance) -> list[config.Network]:
    return [each for family in instance.families for each in (family.nodes, family.pods, family.services)]


def test_no_two_slots_share_an_address() -> None:
    every = [_ranges(Instance("x", slot, 2, ipv6=True)) for slot in range(config.SLOTS)]
    for one, other in itertools.combinations(itertools.chain(*every), 2):
        assert one.version != other.version or not one.overlaps(other), (one, other)


def test_node_pod_ranges_are_apart_and_within_the_pods_range() -> None:
    instance = Instance("x", config.SLOTS - 1, config.MAX_NODES, ipv6=True)
    for family in instance.families:
        parts = [family.pod_range(index) for index in range(1, config.MAX_NODES + 1)]
        assert all(part.subnet_of(family.pods) for part in parts)  # type: ignore[arg-type]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(parts, 2))
        assert family.node(config.MAX_NODES) not in (family.gateway, family.client)


def test_interface_names_fit() -> None:
    instance = Instance("a-name-of-20-letters", config.SLOTS - 1, config.MAX_NODES)
    assert len(instance.port(config.MAX_NODES)) <= 15


def test_instances_are_written_down_and_read_back() -> None:
    instance = Instance("one", 3, 2, ipv6=True)
    instance.save()
    assert config.load("one") == instance
    assert config.instances() == [instance]
    with pytest.raises(DevclusterError, match=r"no dev cluster 'two' \(there are: one\)"):
        config.existing("two")


def test_a_new_instance_avoids_slots_and_ranges_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    in_use = {0: "route to 10.0.0.0/8 on vpn"}
    monkeypatch.setattr(network, "taken", lambda instance: in_use.get(instance.slot))
    first = lifecycle.place(Instance("dev", 0, 2))
    assert first.slot == 1
    first.save()
    names = [f"n{number}" for number in range(config.SLOTS - 2)]
    for name in names:
        lifecycle.place(Instance(name, 0, 1)).save()
    assert sorted(each.slot for each in config.instances()) == list(range(1, config.SLOTS))
    with pytest.raises(DevclusterError, match=r"slot 0: route to 10\.0\.0\.0/8 on vpn"):
        lifecycle.place(Instance("one-too-many", 0, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up", "--name", "Dev"], "--name: 'Dev' is not allowed; use 1 to 20 of a-z"),
        (["up", "--name", "a" * 21], "--name:"),
        (["up", "--name", "a-"], "--name:"),
        (["up", "--nodes", "0"], "--nodes: 0 is not allowed; use 1 to 16"),
        (["up", "--nodes", "17"], "--nodes: 17 is not allowed"),
        (["status", "--name", "none"], "there is no dev cluster 'none' (there are: none)"),
        (["kubeconfig", "--name", "none"], "make it with `python -m devcluster up --name none`"),
        (["exec", "--name", "none", "node-1"], "there is no dev cluster 'none'"),
    ],
)
def test_bad_input_is_refused_in_words(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    told = capsys.readouterr()
    assert message in told.err
    assert told.out == ""


def test_load_names_the_archive_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    Instance("one", 3, 2).save()
    assert main(["load", "--name", "one", "/none.tar"]) == 1
    assert "there is no image archive /none.tar" in capsys.readouterr().err


def test_existing_cluster_without_a_kubeconfig_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\necho 'error: current-context must exist' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert main(["up", "--name", "theirs", "--host", "existing"]) == 1
    assert "KUBECONFIG names no usable context: error: current-context" in capsys.readouterr().err
    assert config.load("theirs") is None


def test_a_host_that_enforces_nothing_has_no_enforcer() -> None:
    enforcing, bare = (Instance("one", 3, 2, network_policies=given) for given in (True, False))
    assert set(worker.commands(enforcing, 1)) - set(worker.commands(bare, 1)) == {"network-policy"}
