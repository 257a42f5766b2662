"""Virtual clusters without the Pulumi engine: applied, awaited and removed by this process.

    with ephemeral_cluster(name="try", namespace="team-a", distribution="kubernetes") as cluster:
        subprocess.run(["kubectl", f"--kubeconfig={cluster.kubeconfig_path}", "get", "nodes"])

The objects are those of `manifests`, applied with server-side apply under the field manager `k3k-pulumi`.
Nothing is kept here: on a second run the keys are read back from the cluster's Secrets, so `apply` may be
repeated, and `delete` needs the cluster's name and namespace alone. From the shell:
`python -m k3k_pulumi.direct --help`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from k3k_pulumi.direct.cluster import Cluster, write_private
from k3k_pulumi.direct.deploy import check, deploy
from k3k_pulumi.direct.host import DirectError, Host
from k3k_pulumi.direct.remove import Found, find, remove
from k3k_pulumi.direct.steps import OnStep, silent
from k3k_pulumi.model import VirtualClusterSpec

__all__ = [
    "Cluster",
    "DirectError",
    "Found",
    "OnStep",
    "apply",
    "clusters",
    "delete",
    "ephemeral_cluster",
    "write_private",
]

Path = str | os.PathLike[str]
EPHEMERAL_GRACE = 1  # seconds that a throw-away cluster's pods get to end


def apply(
    name: str,
    *,
    kubeconfig: Path | None = None,
    context: str | None = None,
    timeout: float = 180.0,
    on_step: OnStep = silent,
    **args: Any,
) -> Cluster:
    """Makes the virtual cluster, or brings it up to date, and waits until it is ready.

    Args:
        name: name of the cluster.
        kubeconfig: of the host; as kubectl finds it by default.
        context: of that kubeconfig; its current one by default.
        timeout: seconds from the first object until all is ready.
        on_step: called with the title of each step; the context it returns is left when the step is over.
        args: as `VirtualClusterArgs`, plain values only; `namespace` is required.

    Raises:
        InputError: bad arguments; nothing was created.
        DirectError: the host refused something, or the cluster was not ready in time; the text says why.
    """
    spec = VirtualClusterSpec.parse(name, args)  # before the host is asked for anything
    with _host(kubeconfig, context) as host:
        check(host, spec)
        return deploy(host, spec, args, timeout=timeout, on_step=on_step)


def delete(
    name: str,
    namespace: str,
    *,
    control_plane_namespace: str | None = None,
    kubeconfig: Path | None = None,
    context: str | None = None,
    grace_period: int | None = None,
    timeout: float = 180.0,
    on_step: OnStep = silent,
) -> None:
    """Removes a virtual cluster, whoever made it and however far it got, and waits until nothing is left.

    Args:
        name: name of the cluster.
        namespace: host namespace of its workloads.
        control_plane_namespace: needed only when it is not the default one and the anchor is gone already.
        kubeconfig: of the host; as kubectl finds it by default.
        context: of that kubeconfig; its current one by default.
        grace_period: seconds for each workload pod to end; its own by default.
        timeout: seconds.
        on_step: as in `apply`.

    Raises:
        DirectError: something is still there after `timeout`, or may not be deleted.
    """
    with _host(kubeconfig, context) as host:
        remove(
            host,
            name,
            namespace,
            control_plane_namespace=control_plane_namespace,
            grace_period=grace_period,
            timeout=timeout,
            on_step=on_step,
        )


def clusters(*, kubeconfig: Path | None = None, context: str | None = None) -> list[Found]:
    """The virtual clusters on a host; what a killed process left behind is among them."""
    with _host(kubeconfig, context) as host:
        return find(host)


@contextmanager
def ephemeral_cluster(
    *,
    name: str,
    namespace: str,
    kubeconfig: Path | None = None,
    context: str | None = None,
    timeout: float = 180.0,
    on_step: OnStep = silent,
    **args: Any,
) -> Iterator[Cluster]:
    """A virtual cluster for as long as the context lasts.

    It is removed when the context is left, however that happens: also by an error while it is being made, by
    Ctrl-C, and by SIGTERM where this runs in the main thread and nobody else handles that signal. What a
    killed process leaves is found with `clusters` and removed with `delete`.

    Its datastore is `ephemeral` unless `persistence` says otherwise: there is no volume to wait for, and what
    is written survives a crash of the server's containers, but not the loss of its pod.

    Args, and errors: as `apply`.
    """
    args = {"persistence": {"type": "ephemeral"}, **args, "namespace": namespace}
    spec = VirtualClusterSpec.parse(name, args)
    with _host(kubeconfig, context) as host, _sigterm_as_exit():
        check(host, spec)  # what is refused is not ours to remove
        try:
            cluster = deploy(host, spec, args, timeout=timeout, on_step=on_step)
            try:
                yield cluster
            finally:
                cluster.close()
        finally:
            try:
                remove(
                    host,
                    name,
                    namespace,
                    control_plane_namespace=spec.control_plane_namespace,
                    grace_period=EPHEMERAL_GRACE,
                    on_step=on_step,
                )
            except BaseException as error:
                error.add_note(
                    f"what is left goes with: python -m k3k_pulumi.direct delete {name} -n {namespace}"
                )
                raise


@contextmanager
def _host(kubeconfig: Path | None, context: str | None) -> Iterator[Host]:
    host = Host.connect(kubeconfig, context)
    try:
        yield host
    finally:
        host.close()


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """Has SIGTERM unwind the stack, as Ctrl-C does, unless the program has its own idea of it."""
    own = threading.current_thread() is threading.main_thread()
    if not own or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
