"""Names, paths and addresses of dev cluster instances, all derived from an instance's name and slot.

Every instance has a slot, a small number no other instance of the machine has. Interfaces and address
ranges are numbered by it, so that instances live beside each other.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from devcluster.errors import DevclusterError

KUBERNETES = "v1.34.4"
SLOTS = 12
MAX_NODES = 16
PODS_PER_NODE = 500
NAME = re.compile(r"[a-z]([-a-z0-9]{0,18}[a-z0-9])?")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def cache() -> Path:
    """Folder of what can be made again: binaries, images."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "k3k-pulumi"


def state() -> Path:
    """Folder of the instances, one sub-folder each."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "k3k-pulumi"


@dataclass(frozen=True)
class Family:
    """The address ranges of one IP family.

    Attributes:
        nodes: The bridge's network; node i has its i-th address.
        pods: Range of all pods; `pod_range(i)` is node i's part.
        services: Range of the ClusterIPs.
        node_prefix: Prefix length of one node's pod range.
    """

    nodes: Network
    pods: Network
    services: Network
    node_prefix: int

    def node(self, index: int) -> Address:
        """Address of node `index`, counted from 1."""
        return self.nodes[index]

    @property
    def gateway(self) -> Address:
        """The machine's address as the nodes' way out."""
        return self.nodes[254]

    @property
    def client(self) -> Address:
        """The machine's address towards ClusterIPs and pods (`network.py` says why it has two)."""
        return self.nodes[253]

    def pod_range(self, index: int) -> Network:
        """Pod range of node `index`, counted from 1."""
        size = self.pods.max_prefixlen - self.node_prefix
        return ipaddress.ip_network((int(self.pods[0]) + ((index - 1) << size), self.node_prefix))

    @property
    def service_api(self) -> Address:
        """ClusterIP of `default/kubernetes`."""
        return self.services[1]

    @property
    def service_dns(self) -> Address:
        """ClusterIP that is customary for the cluster's DNS."""
        return self.services[10]


@dataclass(frozen=True)
class Instance:
    """One dev cluster.

    Attributes:
        name: Its name, unique on the machine.
        slot: Its number, unique on the machine, below `SLOTS`.
        nodes: How many nodes it has.
        ipv6: Dual-stack if true, else IPv4 only.
        host: What provides it: `parts` (this package), `kind` or `existing`.
        network_policies: Whether `parts` enforces NetworkPolicies.
    """

    name: str
    slot: int
    nodes: int
    ipv6: bool = False
    host: str = "parts"
    network_policies: bool = True

    @property
    def folder(self) -> Path:
        """Everything this instance has on disk."""
        return state() / self.name

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfig"

    @property
    def node_names(self) -> list[str]:
        """Names of the Node objects: node-1, node-2, ..."""
        return [f"node-{index}" for index in range(1, self.nodes + 1)]

    def node_folder(self, node: str) -> Path:
        """Everything the node has on disk; `var` in it is the node's /var."""
        return self.folder / node

    @property
    def bridge(self) -> str:
        """The bridge that joins the nodes. Interface names have at most 15 characters."""
        return f"k3k{self.slot}"

    def port(self, index: int) -> str:
        """The bridge's port to node `index`, counted from 1."""
        return f"k3k{self.slot}n{index}"

    def namespace(self, node: str) -> Path:
        """The file that the node's network namespace is mounted on.

        Not below /run/netns: `ip netns` would leave that folder itself mounted.
        """
        return self.node_folder(node) / "net"

    @property
    def cgroup(self) -> str:
        """The instance's cgroup, relative to each hierarchy's root."""
        return f"k3k-{self.name}"

    @property
    def ipv4(self) -> Family:
        """The IPv4 ranges."""
        return Family(
            nodes=ipaddress.ip_network(f"172.30.{self.slot}.0/24"),
            pods=ipaddress.ip_network(f"10.{244 - self.slot}.0.0/16"),
            services=ipaddress.ip_network(f"10.{96 + self.slot}.0.0/16"),
            node_prefix=22,
        )

    @property
    def families(self) -> list[Family]:
        """The ranges of every family in use, IPv4 first."""
        if not self.ipv6:
            return [self.ipv4]
        base = f"fd6b:336b:{self.slot:x}"
        return [
            self.ipv4,
            Family(
                nodes=ipaddress.ip_network(f"{base}::/64"),
                pods=ipaddress.ip_network(f"{base}:100::/56"),
                services=ipaddress.ip_network(f"{base}:200::/112"),
                node_prefix=64,
            ),
        ]

    @property
    def server(self) -> str:
        """URL of the API server, on node 1."""
        return f"https://{self.ipv4.node(1)}:6443"

    def save(self) -> None:
        """Writes the instance down; from then on its slot is taken."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # In one step: other processes look at all instances at any time.
        fresh = self.folder / f".instance.json.{os.getpid()}"
        fresh.write_text(json.dumps(asdict(self), indent=2) + "\n")
        fresh.replace(self.folder / "instance.json")


def load(name: str) -> Instance | None:
    """The instance of that name, if there is one."""
    try:
        return Instance(**json.loads((state() / name / "instance.json").read_text()))
    except FileNotFoundError:
        return None


def instances() -> list[Instance]:
    """Every instance of this user, by name."""
    found = (load(file.parent.name) for file in sorted(state().glob("*/instance.json")))
    return [instance for instance in found if instance]


def existing(name: str) -> Instance:
    """The instance of that name.

    Raises:
        DevclusterError: There is none.
    """
    instance = load(name)
    if instance is None:
        known = ", ".join(each.name for each in instances()) or "none"
        raise DevclusterError(
            f"there is no dev cluster {name!r} (there are: {known}); "
            f"make it with `python -m devcluster up --name {name}`"
        )
    return instance


def check_name(name: str) -> None:
    """Refuses a name that cannot be part of namespace, cgroup and file names."""
    if not NAME.fullmatch(name):
        raise DevclusterError(
            f"--name: {name!r} is not allowed; use 1 to 20 of a-z, 0-9 and '-', beginning with a letter "
            "and not ending with '-'"
        )


def check_nodes(nodes: int) -> None:
    """Refuses a number of nodes the address plan has no room for."""
    if not 1 <= nodes <= MAX_NODES:
        raise DevclusterError(f"--nodes: {nodes} is not allowed; use 1 to {MAX_NODES}")
