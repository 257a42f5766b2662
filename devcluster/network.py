"""The machine's side of the network: bridge, namespaces, routes, masquerading; and each node's side.

The machine has two addresses on the bridge. `gateway` is the nodes' way out. `client` is the source of what
the machine itself sends to ClusterIPs and pods: its routes lead through node 1, whose kube-proxy translates
ClusterIPs, and the other nodes answer `client` through node 1 as well, so that the answer is translated back.
Nothing needs masquerading that way, and a pod sees one and the same source address wherever it runs.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devcluster import shell
from devcluster.config import Family, Instance, Network

FORWARD_COMMENT = "k3k-devcluster"
NODE_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    # Node 1 sends on what came in on the same interface (the machine's packets to other nodes' pods); a
    # redirect would make the machine go around it.
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
}
NODE_SYSCTLS_IPV6 = {"net/ipv6/conf/all/forwarding": "1", "net/ipv6/conf/default/accept_dad": "0"}


def up_machine(instance: Instance) -> None:
    """Bridge, addresses, masquerading and the way through a closed forward chain; what exists is kept."""
    if not _interface(instance.bridge):
        # A bridge without an own address takes its ports' lowest one, and changes it with them.
        mac = f"02:6b:33:6b:{instance.slot:02x}:fe"
        shell.run("ip", "link", "add", instance.bridge, "address", mac, "type", "bridge")
    shell.run("ip", "link", "set", instance.bridge, "up")
    for family in instance.families:
        _address(instance.bridge, f"{family.gateway}/{family.nodes.prefixlen}")
        # IPv4 prefers the first address as source, IPv6 one that is not deprecated: `client` is used where
        # a route asks for it, nowhere else.
        deprecated = ["preferred_lft", "0"] if family.nodes.version == 6 else []
        _address(instance.bridge, f"{family.client}/{family.nodes.prefixlen}", options=deprecated)
    shell.run("nft", "-f", "-", stdin=_masquerade(instance))
    _open_forwarding(instance)


def up_routes(instance: Instance) -> None:
    """The machine's routes to ClusterIPs and pods, through node 1."""
    for family in instance.families:
        for target in (family.services, family.pods):
            shell.run(
                *_ip(target), "route", "replace", str(target),
                "via", str(family.node(1)), "dev", instance.bridge, "src", str(family.client),
            )  # fmt: skip


def up_node(instance: Instance, index: int) -> None:
    """The network namespace of node `index`, its link to the bridge, its addresses and routes."""
    namespace = instance.namespace(instance.node_names[index - 1])
    if not os.path.ismount(namespace):  # Path.is_mount denies it to files before Python 3.12
        if _interface(instance.port(index)):
            shell.run("ip", "link", "delete", instance.port(index))  # its other end is in a namespace no more
        namespace.parent.mkdir(parents=True, exist_ok=True)
        namespace.touch()
        shell.run("unshare", f"--net={namespace}", "true")
    if not _interface(instance.port(index)):
        mac = f"02:6b:33:6b:{instance.slot:02x}:{index:02x}"
        shell.run(
            "ip", "link", "add", instance.port(index), "type", "veth",
            "peer", "name", "eth0", "address", mac, "netns", namespace,
        )  # fmt: skip
    shell.run("ip", "link", "set", instance.port(index), "master", instance.bridge, "up")
    inside = _inside(namespace)
    sysctls = NODE_SYSCTLS | (NODE_SYSCTLS_IPV6 if instance.ipv6 else {})
    writes = "".join(f"echo {value} > /proc/sys/{name}\n" for name, value in sysctls.items())
    shell.run(*inside, "sh", "-e", stdin=writes)
    shell.run(*inside, "ip", "link", "set", "lo", "up")
    for family in instance.families:
        _address("eth0", f"{family.node(index)}/{family.nodes.prefixlen}", inside)
    shell.run(*inside, "ip", "link", "set", "eth0", "up")
    for family in instance.families:
        _node_routes(instance, family, index, inside)
    shell.run(*inside, "nft", "-f", "-", stdin=_masquerade_pods(instance))


def _inside(namespace: Path) -> list[str]:
    """What to put before a command that is to run in the network namespace."""
    return ["nsenter", f"--net={namespace}"]


def _node_routes(instance: Instance, family: Family, index: int, inside: list[str]) -> None:
    routes = [("default", family.gateway)]
    routes += [
        (str(family.pod_range(other)), family.node(other))
        for other in range(1, instance.nodes + 1)
        if other != index
    ]
    if index > 1:
        routes.append((f"{family.client}/{family.client.max_prefixlen}", family.node(1)))
    for target, gateway in routes:
        via = ["via", str(gateway), "dev", "eth0"]
        shell.run(*inside, *_ip(family.nodes), "route", "replace", target, *via)


def _masquerade_pods(instance: Instance) -> str:
    """The node's nft rules: pods go out of the cluster under the node's address."""
    rules = []
    for family in instance.families:
        word = "ip" if family.nodes.version == 4 else "ip6"
        inside = f"{{ {family.nodes}, {family.pods}, {family.services} }}"
        rules.append(f"{word} saddr {family.pods} {word} daddr != {inside} masquerade")
    body = "\n    ".join(rules)
    return (
        "table inet pods-out\ndelete table inet pods-out\n"
        "table inet pods-out {\n  chain postrouting {\n    type nat hook postrouting priority srcnat + 10;\n"
        f"    {body}\n  }}\n}}\n"
    )


def _masquerade(instance: Instance) -> str:
    """The machine's nft table: nodes go out under the machine's address."""
    name = instance.bridge
    rules = "\n    ".join(
        f'{"ip" if family.nodes.version == 4 else "ip6"} saddr {family.nodes} iifname "{name}" '
        f'oifname != "{name}" masquerade'
        for family in instance.families
    )
    return (
        f"table inet {name}\ndelete table inet {name}\n"
        f"table inet {name} {{\n  chain postrouting {{\n    type nat hook postrouting priority srcnat;\n"
        f"    {rules}\n  }}\n}}\n"
    )


def _iptables(instance: Instance) -> list[str]:
    return ["iptables"] + (["ip6tables"] if instance.ipv6 else [])


def _forward_rules(instance: Instance) -> list[list[str]]:
    comment = ["-m", "comment", "--comment", FORWARD_COMMENT, "-j", "ACCEPT"]
    return [["-i", instance.bridge, *comment], ["-o", instance.bridge, *comment]]


def _open_forwarding(instance: Instance) -> None:
    """Lets the bridge's packets pass a forward chain whose policy is DROP (Docker, ufw)."""
    for program in _iptables(instance):
        if "-P FORWARD DROP" not in shell.attempt(program, "-S", "FORWARD").stdout:
            continue
        for rule in _forward_rules(instance):
            if shell.attempt(program, "-C", "FORWARD", *rule).returncode:
                shell.run(program, "-I", "FORWARD", *rule)


def down(instance: Instance) -> None:
    """Removes everything the functions above have made."""
    for program in _iptables(instance):
        if FORWARD_COMMENT not in shell.attempt(program, "-S", "FORWARD").stdout:
            continue
        for rule in _forward_rules(instance):
            while shell.attempt(program, "-D", "FORWARD", *rule).returncode == 0:
                pass
    shell.run("nft", "-f", "-", stdin=f"table inet {instance.bridge}\ndelete table inet {instance.bridge}\n")
    for name in _ports(instance):
        shell.attempt("ip", "link", "delete", name)
    if _interface(instance.bridge):
        shell.run("ip", "link", "delete", instance.bridge)  # takes its addresses and routes along
    for node in instance.node_names:
        namespace = instance.namespace(node)
        if os.path.ismount(namespace):
            shell.run("umount", namespace)
        namespace.unlink(missing_ok=True)


def _ports(instance: Instance) -> list[str]:
    return [name for name in _names() if re.fullmatch(rf"{instance.bridge}n\d+", name)]


def _names() -> list[str]:
    return [path.name for path in Path("/sys/class/net").iterdir()]


def _interface(name: str) -> bool:
    return name in _names()


def _ip(network: Network) -> list[str]:
    return ["ip", f"-{network.version}"]


def _address(interface: str, address: str, inside: Sequence[str] = (), options: Sequence[str] = ()) -> None:
    nodad = ["nodad"] if ":" in address else []
    shell.run(*inside, "ip", "address", "replace", address, "dev", interface, *nodad, *options)


def taken(instance: Instance) -> str | None:
    """What on this machine already uses one of the instance's names or ranges, or None."""
    if _interface(instance.bridge):
        return f"interface {instance.bridge}"
    for version in (4, 6):
        routes: list[dict[str, Any]] = json.loads(
            shell.run("ip", "-json", f"-{version}", "route", "show", "table", "all") or "[]"
        )
        for route in routes:
            target = route["dst"]
            if route.get("type", "unicast") != "unicast" or target == "default":
                continue
            network = ipaddress.ip_network(target, strict=False)
            for family in instance.families:
                for own in (family.nodes, family.pods, family.services):
                    if own.version == version and own.overlaps(network):
                        return f"route to {target} on {route.get('dev')}"
    return None
