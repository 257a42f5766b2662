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
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from k3k_pulumi.direct import policy
from k3k_pulumi.direct.cluster import Cluster, write_private
from k3k_pulumi.direct.deploy import READY_SECONDS, check, deploy
from k3k_pulumi.direct.remove import Found, find, remove
from k3k_pulumi.direct.steps import OnStep, silent
from k3k_pulumi.host import DirectError, Host
from k3k_pulumi.model import SharedModeNamespaceSpec, VirtualClusterPolicySpec, VirtualClusterSpec

__all__ = [
    "Cluster",
    "DirectError",
    "Found",
    "OnStep",
    "apply",
    "apply_policy",
    "apply_shared_mode_namespace",
    "clusters",
    "delete",
    "delete_policy",
    "delete_shared_mode_namespace",
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
    timeout: float | None = None,
    on_step: OnStep = silent,
    **args: Any,
) -> Cluster:
    """Makes the virtual cluster, or brings it up to date, and waits until it is ready.

    Args:
        name: name of the cluster.
        kubeconfig: of the host; as kubectl finds it by default.
        context: of that kubeconfig; its current one by default.
        timeout: seconds from the first object until all is ready; `ready_timeout` of `args` by default, and
            180 without it.
        on_step: called with the title of each step; the context it returns is left when the step is over.
        args: as `VirtualClusterArgs`, plain values only; `namespace` is required.

    Raises:
        InputError: bad arguments; nothing was created.
        DirectError: the host refused something, or the cluster was not ready in time; the text says why.
    """
    with _resolved(name, args, kubeconfig, context) as (host, spec, resolved):
        check(host, spec)
        return deploy(host, spec, resolved, timeout=timeout, on_step=on_step)


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
    timeout: float | None = None,
    on_step: OnStep = silent,
    **args: Any,
) -> Iterator[Cluster]:
    """A virtual cluster for as long as the context lasts.

    It is removed when the context is left, however that happens: also by an error while it is being made, by
    Ctrl-C, and by SIGTERM where this runs in the main thread and nobody else handles that signal. What a
    killed process leaves is found with `clusters` and removed with `delete`.

    Its datastore is `ephemeral` unless `persistence` says otherwise: there is no volume to wait for, nor, at
    each write, a disk. What is written survives a crash of the server's containers, but not its pod's loss.

    Args, and errors: as `apply`.
    """
    args = {"persistence": {"type": "ephemeral"}, **args, "namespace": namespace}
    with _resolved(name, args, kubeconfig, context) as (host, spec, resolved), _sigterm_as_exit():
        check(host, spec)  # what is refused is not ours to remove
        try:
            cluster = deploy(host, spec, resolved, timeout=timeout, on_step=on_step)
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
                    timeout=max(READY_SECONDS, timeout or 0),  # where one takes its time, so may the other
                    on_step=on_step,
                )
            except BaseException as error:
                error.add_note(
                    f"what is left goes with: python -m k3k_pulumi.direct delete {name} -n {namespace}"
                )
                raise


def apply_policy(
    name: str, *, kubeconfig: Path | None = None, context: str | None = None, **args: Any
) -> dict[str, Any]:
    """Binds a policy to namespaces that exist, or brings it up to date.

    What it no longer has goes: objects, and what it set in namespaces that are no longer among its own. The
    latter are found only with the right to list namespaces.

    Args:
        name: name of the policy, unique on the host.
        kubeconfig: of the host; as kubectl finds it by default.
        context: of that kubeconfig; its current one by default.
        args: as `VirtualClusterPolicyArgs`, plain values only; `namespaces` is required.

    Returns:
        The constraints for virtual clusters: `apply(..., policy=constraints)`.

    Raises:
        InputError: bad arguments; nothing was changed.
        DirectError: a namespace is missing, has another policy, or a label that somebody else has set to
            another value, nothing was changed then; or the host refused something.
    """
    spec = VirtualClusterPolicySpec.parse(name, args)
    with _host(kubeconfig, context) as host:
        policy.bind(host, spec)
    return spec.constraints


def delete_policy(
    name: str, namespaces: Sequence[str], *, kubeconfig: Path | None = None, context: str | None = None
) -> None:
    """Takes a policy that `apply_policy` bound from its namespaces; fine when there is nothing.

    Its objects go, and its fields of the Namespaces, unless somebody else has set them too. Its
    ValidatingAdmissionPolicy goes when no Namespace has the policy's label any more, which only those find
    out who may list Namespaces.

    Args:
        name: name of the policy.
        namespaces: that it is bound to.
        kubeconfig: of the host; as kubectl finds it by default.
        context: of that kubeconfig; its current one by default.

    Raises:
        DirectError: the host refused something.
    """
    with _host(kubeconfig, context) as host:
        policy.unbind(host, name, namespaces)


def apply_shared_mode_namespace(
    name: str, *, kubeconfig: Path | None = None, context: str | None = None, **args: Any
) -> dict[str, Any]:
    """Makes a namespace for virtual clusters with all that a policy gives it, or brings it up to date.

    Args:
        name: name of the policy, and of the namespace unless `namespace` names another one.
        kubeconfig: of the host; as kubectl finds it by default.
        context: of that kubeconfig; its current one by default.
        args: as `SharedModeNamespaceArgs`, plain values only.

    Returns:
        The constraints for virtual clusters: `apply(..., create_namespace=False, policy=constraints)`.

    Raises:
        InputError: bad arguments; nothing was changed.
        DirectError: somebody else made the namespace, nothing was changed then; or the host refused
            something.
    """
    spec = SharedModeNamespaceSpec.parse(name, args)
    with _host(kubeconfig, context) as host:
        policy.make(host, spec)
    return spec.policy.constraints


def delete_shared_mode_namespace(
    name: str,
    namespace: str | None = None,
    *,
    kubeconfig: Path | None = None,
    context: str | None = None,
    timeout: float = 180.0,
) -> None:
    """Deletes a namespace that `apply_shared_mode_namespace` made, and waits until it is gone.

    Args:
        name: name of the component.
        namespace: its namespace; its name by default.
        kubeconfig: of the host; as kubectl finds it by default.
        context: of that kubeconfig; its current one by default.
        timeout: seconds.

    Raises:
        DirectError: virtual clusters live in it, or it was made by somebody else, nothing was deleted then;
            or it is still there after `timeout`.
    """
    with _host(kubeconfig, context) as host:
        try:
            policy.unmake(host, name, namespace or name, time.monotonic() + timeout)
        except TimeoutError as error:
            raise DirectError(
                f"{error} is still there after {timeout:g} s: its conditions say why (kubectl get -o yaml)"
            ) from error


@contextmanager
def _resolved(
    name: str, args: dict[str, Any], kubeconfig: Path | None, context: str | None
) -> Iterator[tuple[Host, VirtualClusterSpec, dict[str, Any]]]:
    """The host, the cluster's specification and its arguments, with the policy of the namespace if asked for.

    Bad arguments are refused before the host is asked for anything.
    """
    spec = VirtualClusterSpec.parse(name, args)
    with _host(kubeconfig, context) as host:
        if spec.policy_from_namespace:
            args = policy.with_policy_of_namespace(host, args)
            spec = VirtualClusterSpec.parse(name, args)
        yield host, spec, args


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
