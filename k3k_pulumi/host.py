"""The host cluster's API: as much of it as applying, watching and deleting objects needs."""

from __future__ import annotations

import base64
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import urllib3
import yaml
from kubernetes import client, config, dynamic
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ConflictError, DynamicApiError, NotFoundError

FIELD_MANAGER = "k3k-pulumi"
REQUEST_TIMEOUT = 30.0  # seconds
RETRY_SECONDS = 0.5  # before asking a host again that did not answer
_AGAIN = urllib3.Retry(
    total=None,
    connect=1,
    read=1,
    redirect=3,
    status=4,
    # None of our requests does more when it is made twice.
    allowed_methods=("GET", "PATCH", "DELETE"),
    status_forcelist=(429, 500, 502, 503, 504),
    raise_on_status=False,
    backoff_factor=0.5,
    retry_after_max=10,
)
"""How often a request is made again that a busy host has no time for: up to 7 s, or as long as it says."""
_LOG_BYTES = 16384
REWRITES = 10  # of one object, while others write it
_OWNED = "FieldManagerConflict"  # kind of conflict in which a field is somebody else's
WATCH_SECONDS = 60  # a watch that hears nothing for so long is opened anew

Object = dict[str, Any]
Entries = list[Object]
Condition = Callable[[Object | None], bool]


class DirectError(RuntimeError):
    """The host cluster did not do what it was asked; the text says which object and why."""


class UnreachableError(DirectError):
    """The host cluster's API server does not answer; it may again later."""


class KubeconfigError(DirectError):
    """There is no usable kubeconfig."""


class ForbiddenError(DirectError):
    """The kubeconfig's user may not do that."""


class UnknownKindError(DirectError):
    """The host does not have that kind of object."""


class Ref(NamedTuple):
    """Which object: `namespace` is empty for kinds without one."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Ref:
        """The object a manifest describes."""
        metadata = manifest["metadata"]
        return cls(manifest["apiVersion"], manifest["kind"], metadata.get("namespace", ""), metadata["name"])

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Host:
    """A host cluster, with the rights of the kubeconfig's user."""

    def __init__(self, api: client.ApiClient) -> None:
        self.api = api
        # The client's default cache is a file of a well-known name in the shared temporary folder.
        self._cache = tempfile.TemporaryDirectory(prefix="k3k-pulumi-")
        self._dynamic = DynamicClient(api, cache_file=str(Path(self._cache.name) / "discovery.json"))

    @classmethod
    def connect(cls, kubeconfig: str | os.PathLike[str] | None = None, context: str | None = None) -> Host:
        """Connects as kubectl does.

        Args:
            kubeconfig: a file; KUBECONFIG, then ~/.kube/config, then the pod's own service account when None.
            context: a context of it; the current one when None.

        Raises:
            KubeconfigError: no usable kubeconfig.
            DirectError: the cluster does not answer.
        """
        try:
            configuration = client.Configuration()
            if kubeconfig is None and context is None and _only_in_cluster():
                config.load_incluster_config(client_configuration=configuration)
            else:
                config.load_kube_config(
                    config_file=None if kubeconfig is None else os.fspath(kubeconfig),
                    context=context,
                    client_configuration=configuration,
                    persist_config=False,
                )
        except config.ConfigException as error:
            where = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
            raise KubeconfigError(f"host cluster: no connection from kubeconfig {where}: {error}") from error
        return cls.of(configuration)

    @classmethod
    def of_provider(cls, kubeconfig: str | None, context: str | None) -> Host:
        """Connects as the kubernetes provider does that has these inputs.

        Args:
            kubeconfig: a file's name or its content; found as kubectl does when None.
            context: a context of it; the current one when None.

        Raises:
            KubeconfigError: it is not usable.
            DirectError: the cluster does not answer.
        """
        if not kubeconfig or _is_file(kubeconfig):
            return cls.connect(kubeconfig and Path(kubeconfig).expanduser(), context)
        configuration = client.Configuration()
        try:
            config.load_kube_config_from_dict(
                yaml.safe_load(kubeconfig),
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
        except (config.ConfigException, yaml.YAMLError, AttributeError, TypeError) as error:
            # The error may have the content, and that has credentials.
            raise KubeconfigError(f"host cluster: no usable kubeconfig: {type(error).__name__}") from None
        return cls.of(configuration)

    @classmethod
    def of(cls, configuration: client.Configuration) -> Host:
        """The cluster that a client is configured for.

        Raises:
            DirectError: it does not answer.
        """
        configuration.retries = _AGAIN
        try:
            return cls(client.ApiClient(configuration))
        except (urllib3.exceptions.HTTPError, DynamicApiError, client.ApiException) as error:
            raise DirectError(f"host cluster {configuration.host} does not answer: {error}") from error

    @property
    def address(self) -> str:
        """URL of the host's API server."""
        return str(self.api.configuration.host)

    def close(self) -> None:
        """Closes the connections."""
        self.api.close()
        self._cache.cleanup()

    def _resource(self, ref: Ref) -> Any:
        return self._dynamic.resources.get(api_version=ref.api_version, kind=ref.kind)

    def apply(self, manifest: Mapping[str, Any], *, field_manager: str = FIELD_MANAGER) -> Object:
        """Server-side apply; the object as the cluster has it then.

        Args:
            manifest: the object, or those of its fields that are to be `field_manager`'s: others of his go.
            field_manager: in whose name.

        Raises:
            DirectError: refused, or a field belongs to another manager.
        """
        ref = Ref.of(manifest)
        body = _without_string_data(manifest)
        for _ in range(REWRITES):
            with self._errors(str(ref)):
                try:
                    return _plain(
                        self._dynamic.server_side_apply(
                            self._resource(ref),
                            body=body,
                            name=ref.name,
                            namespace=ref.namespace or None,
                            field_manager=field_manager,
                            _request_timeout=REQUEST_TIMEOUT,
                        )
                    )
                except ConflictError as error:
                    if _is_of_fields(error):
                        raise DirectError(
                            f"{ref}: exists already and somebody else manages it: {error.summary()}; "
                            "choose another name or namespace, or delete that object"
                        ) from error
                    conflict = error
            time.sleep(RETRY_SECONDS)
        raise DirectError(f"{ref}: {conflict.summary()}") from conflict

    def get(self, ref: Ref) -> Object | None:
        """The object, or None."""
        with self._errors(str(ref)):
            try:
                return _plain(
                    self._dynamic.get(
                        self._resource(ref),
                        ref.name,
                        ref.namespace or None,
                        _request_timeout=REQUEST_TIMEOUT,
                    )
                )
            except NotFoundError:
                return None

    def list(
        self, api_version: str, kind: str, namespace: str = "", *, labels: str | None = None
    ) -> list[Object]:
        """The objects of a kind, of all namespaces when `namespace` is empty, that match a label selector."""
        with self._errors(f"list of {kind} in namespace {namespace or '(all)'}"):
            found = self._dynamic.get(
                self._resource(Ref(api_version, kind, namespace, "")),
                namespace=namespace or None,
                label_selector=labels,
                _request_timeout=REQUEST_TIMEOUT,
            )
        # Items of a list do not say what they are.
        return [{**item, "apiVersion": api_version, "kind": kind} for item in _plain(found)["items"]]

    def delete(self, ref: Ref, *, propagation: str = "Background", grace_period: int | None = None) -> None:
        """Asks for the object's deletion; fine when it is gone already.

        Args:
            ref: the object.
            propagation: what becomes of the objects it owns.
            grace_period: seconds for a pod to end; its own by default.
        """
        options: Object = {"propagationPolicy": propagation}
        if grace_period is not None:
            options["gracePeriodSeconds"] = grace_period
        with self._errors(str(ref)), suppress(NotFoundError):
            self._dynamic.delete(
                self._resource(ref),
                ref.name,
                ref.namespace or None,
                body=options,
                _request_timeout=REQUEST_TIMEOUT,
            )

    def rewrite_managed_fields(
        self, ref: Ref, change: Callable[[Entries], Entries], *, dry_run: bool = False
    ) -> tuple[Entries, Entries]:
        """Says anew who manages which fields of an object; nothing else of it changes.

        Args:
            ref: the object. One that is gone has no managers.
            change: what becomes of the entries of `managedFields`; asked again when somebody else wrote.
            dry_run: whether nothing is to be written.

        Returns:
            The entries before and after.

        Raises:
            DirectError: refused, or others write the object all the time.
        """
        for _ in range(REWRITES):
            metadata: Object = (self.get(ref) or {}).get("metadata", {})
            before: Entries = metadata.get("managedFields") or []
            after = change(before)
            if after == before or dry_run:
                return before, after
            version = metadata["resourceVersion"]
            with self._errors(str(ref)), suppress(ConflictError):
                self._dynamic.patch(
                    self._resource(ref),
                    # An empty list is taken for none at all, and would change nothing.
                    {"metadata": {"resourceVersion": version, "managedFields": after or [{}]}},
                    ref.name,
                    ref.namespace or None,
                    content_type="application/merge-patch+json",
                    _request_timeout=REQUEST_TIMEOUT,
                )
                return before, after
        raise DirectError(f"{ref}: others wrote it {REWRITES} times meanwhile: try again")

    @contextmanager
    def _errors(self, subject: str) -> Iterator[None]:
        """Failed requests as errors that name the object."""
        try:
            yield
        except dynamic.exceptions.ForbiddenError as error:
            raise ForbiddenError(f"{subject}: {error.summary()}") from error
        except dynamic.exceptions.ResourceNotFoundError as error:
            raise UnknownKindError(f"{subject}: the host cluster has no such kind: {error}") from error
        except DynamicApiError as error:
            raise DirectError(f"{subject}: {error.summary()}") from error
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(
                f"{subject}: the host cluster {self.address} does not answer: {error}"
            ) from error

    def wait_for(self, ref: Ref, condition: Condition, deadline: float) -> Object | None:
        """Watches one object until `condition` holds of it (of None while it does not exist).

        Args:
            ref: the object.
            condition: asked for the object as it is, then after each change.
            deadline: by `time.monotonic()`.

        Raises:
            TimeoutError: the deadline passed.
            DirectError: the object cannot be read.
        """
        while True:
            try:
                found = self.get(ref)
            except UnreachableError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(RETRY_SECONDS)
                continue
            if condition(found):
                return found
            if (remaining := deadline - time.monotonic()) <= 0:
                raise TimeoutError(str(ref))
            for state in self._changes(ref, found, min(remaining, WATCH_SECONDS)):
                if condition(state):
                    return state

    def _changes(self, ref: Ref, known: Object | None, seconds: float) -> Iterator[Object | None]:
        """States of the object after the known one, for as long as the watch lasts."""
        events = self._dynamic.watch(
            self._resource(ref),
            namespace=ref.namespace or None,
            name=ref.name,
            # Without a version the watch begins with what exists: nothing falls between get and watch.
            resource_version=known["metadata"]["resourceVersion"] if known else None,
            timeout=max(1, int(seconds)),
        )
        try:
            for event in events:
                if event["type"] == "DELETED":
                    yield None
                elif event["type"] in ("ADDED", "MODIFIED"):
                    yield event["raw_object"]
        except (client.ApiException, urllib3.exceptions.HTTPError):
            return  # expired or cut off: the caller reads the object again

    def log(self, namespace: str, pod: str, container: str, *, lines: int) -> str:
        """The last lines of a container's log; empty when it has none."""
        try:
            text = client.CoreV1Api(self.api).read_namespaced_pod_log(
                *(pod, namespace),
                container=container,
                tail_lines=lines,
                limit_bytes=_LOG_BYTES,
                _request_timeout=REQUEST_TIMEOUT,
            )
        except client.ApiException:
            return ""
        return str(text).strip()


def _is_of_fields(conflict: ConflictError) -> bool:
    """Whether fields are somebody else's; any other conflict passes, such as one over a quota's use."""
    try:
        causes = json.loads(conflict.body)["details"]["causes"]
    except (ValueError, KeyError, TypeError):
        return False
    return any(each.get("reason") == _OWNED for each in causes)


def _is_file(kubeconfig: str) -> bool:
    try:
        return Path(kubeconfig).expanduser().is_file()
    except OSError:  # longer than a path can be
        return False


def _only_in_cluster() -> bool:
    """Whether this is a pod without any kubeconfig."""
    if os.environ.get("KUBECONFIG") or Path("~/.kube/config").expanduser().exists():
        return False
    return "KUBERNETES_SERVICE_HOST" in os.environ


def _without_string_data(manifest: Mapping[str, Any]) -> Object:
    """The manifest with `stringData` as `data`: server-side apply tracks only the latter's keys."""
    if "stringData" not in manifest:
        return dict(manifest)
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in manifest["stringData"].items()}
    rest = {key: value for key, value in manifest.items() if key != "stringData"}
    return rest | {"data": {**manifest.get("data", {}), **encoded}}


def _plain(found: Any) -> Object:
    plain: Object = found.to_dict()
    return plain
