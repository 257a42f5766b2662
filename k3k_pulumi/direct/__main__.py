"""`python -m k3k_pulumi.direct`: virtual clusters from the shell, without the Pulumi engine."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from k3k_pulumi import direct
from k3k_pulumi.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; its exit code."""
    options = _parser().parse_args(arguments)
    host = {"kubeconfig": options.kubeconfig, "context": options.context}
    try:
        if options.command == "list":
            for found in direct.clusters(**host):
                print(found.namespace, found.name)
        elif options.command == "delete":
            grace = options.grace_period
            direct.delete(options.name, options.namespace, grace_period=grace, on_step=_show, **host)
        else:
            _apply(options, host)
    except (direct.DirectError, InputError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _apply(options: argparse.Namespace, host: dict[str, Any]) -> None:
    args = json.loads(options.args) | {"namespace": options.namespace}
    cluster = direct.apply(options.name, on_step=_show, **host, **args)
    path = options.output or Path(f"{options.name}.kubeconfig")
    direct.write_private(path, cluster.kubeconfig)
    print(path)


@contextmanager
def _show(title: str) -> Iterator[None]:
    """A line per step with the time it took, on standard error."""
    start = time.monotonic()
    try:
        yield
    finally:
        print(f"{time.monotonic() - start:6.1f} s  {title}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m k3k_pulumi.direct", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="of the host; as kubectl finds it by default")
    parser.add_argument("--context", help="of that kubeconfig; its current one by default")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="virtual clusters of the host: namespace and name")
    apply = commands.add_parser(
        "apply", help="make a cluster, or bring it up to date; prints its kubeconfig's path"
    )
    delete = commands.add_parser("delete", help="remove a cluster and all that belongs to it")
    for command in (apply, delete):
        command.add_argument("name")
        command.add_argument("-n", "--namespace", required=True, help="host namespace of its workloads")
    delete.add_argument("--grace-period", type=int, help="seconds for each pod to end; its own by default")
    apply.add_argument("--args", default="{}", help="more arguments of VirtualClusterArgs, as a JSON object")
    apply.add_argument(
        "-o", "--output", type=Path, help="where the kubeconfig goes; NAME.kubeconfig by default"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
