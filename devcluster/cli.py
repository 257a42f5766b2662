"""The command line, `python -m devcluster`: results on standard output, progress on standard error."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from devcluster import config, devices, golang, images, lifecycle
from devcluster.config import Instance
from devcluster.errors import DevclusterError
from devcluster.parts import Parts
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
        print(
            "devcluster: interrupted; the same command continues, `down` removes all",
            file=sys.stderr,
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="devcluster", description="Real Kubernetes on one Linux machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", default="dev", help="the cluster's name (default: dev)")

    command = commands.add_parser("up", parents=[named], help="make a cluster, complete or repair it")
    command.add_argument("--nodes", type=int, help="how many nodes (default: 2)")
    command.add_argument("--ipv6", action="store_true", help="dual-stack: IPv6 beside IPv4")
    command.add_argument(
        "--no-network-policies", action="store_true", help="a host made of parts that does not enforce them"
    )
    command.add_argument("--restart", action="store_true", help="start running nodes anew")
    command.add_argument(
        "--host",
        choices=lifecycle.HOSTS,
        help="parts: processes of this machine; kind (where Docker runs; untested); "
        "existing: the cluster KUBECONFIG names (default: kind if `docker info` works, else parts)",
    )
    command.set_defaults(run=_up)
    command = commands.add_parser("down", parents=[named], help="remove a cluster and all it has here")
    command.set_defaults(run=_down)
    command = commands.add_parser("status", parents=[named], help="how a cluster is; exits with 1 unless up")
    command.set_defaults(run=_status)
    command = commands.add_parser("load", parents=[named], help="load image archives into every node")
    command.add_argument("archives", type=Path, metavar="IMAGE.tar", nargs="+")
    command.set_defaults(run=_load)
    command = commands.add_parser(
        "control-plane", help="build the images of a control plane of another minor; print their archives"
    )
    command.add_argument("version", choices=sorted(golang.SKEWED))
    command.set_defaults(run=_control_plane)
    command = commands.add_parser(
        "ingress-controller",
        help="build the image of an ingress controller and gateway for tests; print its archive, and the "
        "folder of the Gateway API's CRDs",
    )
    command.set_defaults(run=_ingress_controller)
    command = commands.add_parser(
        "device-plugin", help="build the image of a device plugin for tests; print its archive"
    )
    command.set_defaults(run=_device_plugin)
    command = commands.add_parser("kubeconfig", parents=[named], help="print the path of the kubeconfig")
    command.set_defaults(run=_kubeconfig)
    command = commands.add_parser("audit-log", parents=[named], help="print the path of the audit log")
    command.set_defaults(run=_audit_log)
    command = commands.add_parser("exec", parents=[named], help="run a command inside a node made from parts")
    command.add_argument("node")
    command.add_argument("command", nargs=argparse.REMAINDER, help="default: bash")
    command.set_defaults(run=_exec)
    command = commands.add_parser("go-check", help="go vet and go test of this package's Go code")
    command.set_defaults(run=_go_check)
    return parser


def _up(options: argparse.Namespace) -> None:
    config.check_name(options.name)
    if options.nodes is not None:
        config.check_nodes(options.nodes)
    if os.geteuid() != 0 and options.host != "existing":
        raise DevclusterError("nodes need root (namespaces, mounts, interfaces, routes); run this with sudo")
    progress = Progress()
    instance = lifecycle.up(
        options.name,
        progress,
        host=options.host,
        nodes=options.nodes,
        ipv6=options.ipv6,
        network_policies=not options.no_network_policies,
        restart=options.restart,
    )
    print(instance.kubeconfig)


def _down(options: argparse.Namespace) -> None:
    lifecycle.down(options.name, Progress())


def _status(options: argparse.Namespace) -> int:
    instance = config.existing(options.name)
    status = lifecycle.of(instance).status()
    print(f"{instance.name}: {'up' if status.up else 'not up'}")
    width = max(len(title) for title, _ in status.lines)
    for title, text in status.lines:
        print(f"  {title:<{width}}  {text}")
    return 0 if status.up else 1


def _load(options: argparse.Namespace) -> None:
    instance = config.existing(options.name)
    for archive in options.archives:
        if not archive.is_file():
            raise DevclusterError(f"there is no image archive {archive}")
    with Progress().step(f"Load {', '.join(path.name for path in options.archives)}"):
        lifecycle.of(instance).load(options.archives)


def _control_plane(options: argparse.Namespace) -> None:
    for archive in images.control_plane(options.version, Progress()):
        print(archive)


def _ingress_controller(_options: argparse.Namespace) -> None:
    progress = Progress()
    print(images.ingress_controller(progress))
    print(golang.module_folder(golang.INGRESS, "sigs.k8s.io/gateway-api", progress) / "config/crd/standard")


def _device_plugin(_options: argparse.Namespace) -> None:
    print(devices.image(Progress()))


def _kubeconfig(options: argparse.Namespace) -> None:
    print(config.existing(options.name).kubeconfig)


def _audit_log(options: argparse.Namespace) -> None:
    print(lifecycle.of(config.existing(options.name)).audit_log())


def _exec(options: argparse.Namespace) -> None:
    instance = config.existing(options.name)
    command = _node_command(instance, options.node, options.command or ["bash"])
    os.execvp(command[0], command)


def _node_command(instance: Instance, name: str, command: list[str]) -> list[str]:
    if instance.host != "parts":
        raise DevclusterError(f"{instance.name!r} is a cluster of kind {instance.host!r}; use its own means")
    for node in Parts(instance).nodes:
        if node.name == name:
            return node.command(*command)
    raise DevclusterError(f"{instance.name!r} has no node {name!r}; it has {', '.join(instance.node_names)}")


def _go_check(_options: argparse.Namespace) -> None:
    golang.check(Progress())
