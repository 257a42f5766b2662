"""Kernel settings: raised where too low, put back with the last instance."""

from __future__ import annotations

from pathlib import Path

import pytest

from devcluster import sysctl
from devcluster.config import Instance

INSTANCES = "fs/inotify/max_user_instances"
WATCHES = "fs/inotify/max_user_watches"
FORWARD = "net/ipv4/ip_forward"
OOM = "vm/panic_on_oom"
FOUND = {INSTANCES: "128", WATCHES: "9999999", FORWARD: "0", OOM: "1"}


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "proc-sys"
    for name, value in FOUND.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(value + "\n")
    monkeypatch.setattr(sysctl, "_path", lambda name: folder / name)
    return folder


def _now(kernel: Path) -> dict[str, str]:
    return {name: (kernel / name).read_text().strip() for name in FOUND}


def test_raised_only_where_too_low(kernel: Path) -> None:
    sysctl.raise_limits(ipv6=False)
    assert _now(kernel) == FOUND | {INSTANCES: "8192", FORWARD: "1"}


def test_put_back_with_the_last_instance_alone(kernel: Path) -> None:
    one = Instance("one", 1, 1)
    one.save()
    sysctl.raise_limits(ipv6=False)
    (kernel / OOM).write_text("0")  # what a kubelet does
    sysctl.raise_limits(ipv6=False)  # a second instance finds the raised values
    sysctl.restore()
    assert _now(kernel)[INSTANCES] == "8192"
    (one.folder / "instance.json").unlink()
    sysctl.restore()
    assert _now(kernel) == FOUND
    sysctl.restore()  # nothing to do, no error
