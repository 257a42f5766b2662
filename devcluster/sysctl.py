"""Settings of the machine's kernel that nodes need, put back when the last instance goes.

They belong to the machine, not to an instance: the values found before the first change are kept in
`<state>/machine.json`.
"""

from __future__ import annotations

import json
from pathlib import Path

from devcluster import config
from devcluster.locks import locked

# At least this much. Each node runs a kubelet, a container runtime and hundreds of containers with inotify
# instances; neighbour tables are shared by all network namespaces and get an entry per pod and direction.
AT_LEAST = {
    "fs/inotify/max_user_instances": 8192,
    "fs/inotify/max_user_watches": 524288,
    "net/ipv4/neigh/default/gc_thresh1": 4096,
    "net/ipv4/neigh/default/gc_thresh2": 8192,
    "net/ipv4/neigh/default/gc_thresh3": 16384,
    "net/ipv6/neigh/default/gc_thresh1": 4096,
    "net/ipv6/neigh/default/gc_thresh2": 8192,
    "net/ipv6/neigh/default/gc_thresh3": 16384,
    # What a kubelet sets (kubernetes/pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables); listed
    # so that the machine gets its own values back.
    "vm/overcommit_memory": 1,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}
FORWARD_IPV4 = "net/ipv4/ip_forward"
FORWARD_IPV6 = "net/ipv6/conf/all/forwarding"
# Set by the kubelet to 0, which AT_LEAST cannot say.
KEPT = ["vm/panic_on_oom"]


def _path(name: str) -> Path:
    return Path("/proc/sys") / name


def _record() -> Path:
    return config.state() / "machine.json"


def raise_limits(*, ipv6: bool) -> None:
    """Sets what the nodes need and remembers what was there."""
    wanted = {**AT_LEAST, FORWARD_IPV4: 1}
    if ipv6:
        wanted[FORWARD_IPV6] = 1
    with locked("machine"):
        found = json.loads(_record().read_text()) if _record().exists() else {}
        for name in KEPT:
            if _path(name).exists():
                found.setdefault(name, _path(name).read_text().strip())
        for name, least in wanted.items():
            if not _path(name).exists():
                continue
            value = _path(name).read_text().strip()
            found.setdefault(name, value)
            if int(value) < least:
                _path(name).write_text(str(least))
        _record().parent.mkdir(parents=True, exist_ok=True)
        _record().write_text(json.dumps(found, indent=2) + "\n")


def restore() -> None:
    """Puts the machine's values back, if no instance is left."""
    with locked("machine"):
        if not _record().exists() or any(each.host == "parts" for each in config.instances()):
            return
        for name, value in json.loads(_record().read_text()).items():
            if _path(name).exists() and _path(name).read_text().strip() != value:
                _path(name).write_text(value)
        _record().unlink()
