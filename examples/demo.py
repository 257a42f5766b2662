"""`make demo`: a host cluster on this machine, a virtual cluster in it, a Deployment with a Service in that.

`up` ends with the pods listed from inside and says where the kubeconfigs are; `down` removes everything.
Safe to repeat: what is there is completed, not made again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # devcluster is a tool of this repository, not an installed package

from devcluster import archives, config  # noqa: E402
from devcluster.errors import DevclusterError  # noqa: E402
from devcluster.progress import Progress  # noqa: E402
from devcluster.shell import own  # noqa: E402
from examples import engine  # noqa: E402
from k3k_pulumi import direct  # noqa: E402
from k3k_pulumi.direct.cluster import write_private  # noqa: E402
from k3k_pulumi.direct.machine import source_cidr  # noqa: E402
from k3k_pulumi.errors import InputError  # noqa: E402

HOST = "demo"  # the dev cluster's name
NAME, NAMESPACE = "demo", "team-a"
IMAGE = "docker.io/library/busybox:1.36"
# The shell stays, because httpd as a container's first process would not end when told to.
SERVE = 'echo "$HOSTNAME on $(cat /etc/hostname)"; httpd -p 8080; trap exit TERM; sleep infinity & wait'


class DemoError(RuntimeError):
    """A step failed; the text says which and what the program said."""


def main() -> int:
    """Runs `up` or `down`; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=("up", "down"))
    command = parser.parse_args().command
    progress = Progress()
    try:
        if command == "up":
            up(progress)
        else:
            down(progress)
    except (DemoError, DevclusterError, InputError, direct.DirectError, engine.EngineError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; `make demo` goes on, `make demo-down` removes it", file=sys.stderr)
        return 130
    return 0


def up(progress: Progress) -> None:
    """Host cluster, virtual cluster, workload."""
    own("devcluster", "up", "--name", HOST)
    own("devcluster", "load", "--name", HOST, own("kubelet.image"))
    host = Path(own("devcluster", "kubeconfig", "--name", HOST))
    inside = host.with_name("virtual.kubeconfig")

    args = distribution(progress)
    missing = engine.missing(progress)
    if missing:
        progress.info(f"Without the Pulumi engine ({missing}): the same objects, applied directly.")
        cluster = direct.apply(NAME, kubeconfig=host, namespace=NAMESPACE, on_step=progress.step, **args)
        text = cluster.kubeconfig
    else:
        progress.info("With the Pulumi engine: `pulumi up` of examples/quickstart.")
        service = runner(host)("get", "service", "kubernetes", "-o=jsonpath={.spec.clusterIP}")
        settings = {"name": NAME, "namespace": NAMESPACE, "sourceCidrs[0]": source_cidr(service), **args}
        text = engine.up(progress, host, settings)
    write_private(inside, text)

    workload(progress, inside)
    show(host, inside)
    print(
        f"\nThe virtual cluster's kubeconfig: {inside}\n"
        f"The host cluster's kubeconfig:    {host}\n"
        f"kubectl:                          {kubectl_program()}\n"
        f"Total time: {progress.elapsed:.0f} s. Remove it all with: make demo-down"
    )


def down(progress: Progress) -> None:
    """Removes the virtual cluster as its user would, then the host cluster."""
    try:
        host = config.existing(HOST).kubeconfig
    except DevclusterError:
        progress.info("There is no demo on this machine.")
        return
    if engine.has_stack(host):
        engine.down(progress, host)
    elif direct.clusters(kubeconfig=host):
        direct.delete(NAME, NAMESPACE, kubeconfig=host, grace_period=1, on_step=progress.step)
    own("devcluster", "down", "--name", HOST)


def distribution(progress: Progress) -> dict[str, Any]:
    """K3s where its image is at hand, since no package registry has it; else the official images."""
    versions = archives.k3s_versions()
    if versions:
        progress.info(f"Control plane: k3s {versions[-1]}, from an archive in {archives.folder()}.")
        return {"distribution": "k3s", "version": versions[-1]}
    progress.info(
        f"Control plane: kubernetes {config.KUBERNETES}; no archive of rancher/k3s in {archives.folder()}."
    )
    return {"distribution": "kubernetes", "version": config.KUBERNETES}


def workload(progress: Progress, inside: Path) -> None:
    """A Deployment with three replicas and a Service; the virtual API server is their only way in."""
    kubectl = runner(inside)
    with progress.step("Deployment web with 3 replicas and a Service, inside"):
        kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s")
        manifest = kubectl(
            "create", "deployment", "web", f"--image={IMAGE}", "--replicas=3", "--dry-run=client", "-o=yaml",
            "--", "sh", "-c", SERVE,
        )  # fmt: skip
        kubectl("apply", "-f", "-", stdin=manifest)
        expose = ("expose", "deployment/web", "--port=80", "--target-port=8080")
        kubectl("apply", "-f", "-", stdin=kubectl(*expose, "--dry-run=client", "-o=yaml"))
        kubectl("rollout", "status", "deployment/web", "--timeout=120s")


def show(host: Path, inside: Path) -> None:
    """What kubectl says, inside and on the host."""
    for kubeconfig, words in (
        (inside, ["get", "nodes"]),
        (inside, ["get", "pods", "-o", "wide"]),
        (inside, ["logs", "deployment/web"]),
        (inside, ["get", "service", "web"]),
        (inside, ["exec", "deployment/web", "--", "wget", "-qO-", "http://web.default.svc/etc/hostname"]),
        (host, ["get", "pods,services", "-A", "-l", f"k3k-pulumi.io/cluster={NAME}", "-o", "wide"]),
    ):
        where = "inside" if kubeconfig == inside else "on the host"
        print(f"\n$ kubectl {' '.join(words)}    # {where}", flush=True)
        print(runner(kubeconfig)(*words), end="", flush=True)


def kubectl_program() -> Path:
    """The kubectl that devcluster built."""
    return config.cache() / "bin" / "kubectl"


def runner(kubeconfig: Path) -> Callable[..., str]:
    """A function that runs kubectl with that kubeconfig and returns what it printed."""

    def kubectl(*words: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            [kubectl_program(), f"--kubeconfig={kubeconfig}", *words],
            input=stdin, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise DemoError(f"kubectl {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    return kubectl


if __name__ == "__main__":
    sys.exit(main())
