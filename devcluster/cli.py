"""The command line: `python -m devcluster up | down | status | load | kubeconfig | exec | go-check`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from devcluster import cluster, config, golang, runtime
from devcluster.errors import DevclusterError
from devcluster.progress import Progress


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except DevclusterError as error:
        print(f"devcluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="devcluster", description="Real Kubernetes on one Linux machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", default="dev", help="the instance's name (default: dev)")

    command = commands.add_parser(
        "up", parents=[named], help="make a cluster, or complete or repair the one there is"
    )
    command.add_argument("--nodes", type=int, help="how many nodes (default: 2)")
    command.add_argument("--ipv6", action="store_true", help="dual-stack: IPv6 beside IPv4")
    command.add_argument("--restart", action="store_true", help="start running nodes anew")
    command.set_defaults(run=_up)
    command = commands.add_parser(
        "down", parents=[named], help="remove a cluster and everything it has on this machine"
    )
    command.set_defaults(run=_down)
    command = commands.add_parser("kubeconfig", parents=[named], help="print the path of the kubeconfig")
    command.set_defaults(run=_kubeconfig)
    command = commands.add_parser("load", parents=[named], help="load an image archive into every node")
    command.add_argument("archive", type=Path, metavar="IMAGE.tar", nargs="+")
    command.set_defaults(run=_load)
    command = commands.add_parser("go-check", help="go vet and go test of the Go code")
    command.set_defaults(run=_go_check)
    command = commands.add_parser("exec", parents=[named], help="run a command inside a node")
    command.add_argument("node")
    command.add_argument("command", nargs=argparse.REMAINDER)
    command.set_defaults(run=_exec)
    return parser


def _up(options: argparse.Namespace) -> None:
    config.check_name(options.name)
    if options.nodes is not None:
        config.check_nodes(options.nodes)
    if os.geteuid() != 0:
        raise DevclusterError("nodes need root: namespaces, mounts, interfaces; run this with sudo")
    instance = cluster.up(options.name, options.nodes, Progress(), ipv6=options.ipv6, restart=options.restart)
    print(instance.kubeconfig)


def _down(options: argparse.Namespace) -> None:
    cluster.down(options.name, Progress())


def _kubeconfig(options: argparse.Namespace) -> None:
    print(config.existing(options.name).kubeconfig)


def _load(options: argparse.Namespace) -> None:
    instance = config.existing(options.name)
    for archive in options.archive:
        if not archive.is_file():
            raise DevclusterError(f"there is no image archive {archive}")
    progress = Progress()
    with progress.step(f"Load {', '.join(path.name for path in options.archive)}"):
        runtime.load(cluster.Cluster(instance).nodes, options.archive)


def _exec(options: argparse.Namespace) -> None:
    instance = config.existing(options.name)
    if options.node not in instance.node_names:
        raise DevclusterError(
            f"there is no node {options.node!r}; there are: {', '.join(instance.node_names)}"
        )
    node = cluster.Cluster(instance).nodes[instance.node_names.index(options.node)]
    command = node.command(*(options.command or ["bash"]))
    os.execvp(command[0], command)


def _go_check(_options: argparse.Namespace) -> None:
    golang.check(Progress())
