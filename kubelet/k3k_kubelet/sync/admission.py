"""What the virtual API server asks before it creates or changes a Service: which addresses it is to have.

A Service gets them from the host: its twin is made there first, and what the host gives is set in the Service
before the virtual API server allocates anything. So ClusterIPs and node ports inside are those that the
host's nodes serve.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
from typing import Annotated, Any, Literal

import msgspec
import orjson
from msgspec import Meta

from k3k_kubelet.api import AlreadyExistsError, ApiError, ForbiddenError
from k3k_kubelet.api.client import Object
from k3k_kubelet.sync.cidrs import ServiceCidrs
from k3k_kubelet.sync.policy import PolicyFile
from k3k_kubelet.sync.shared import AnchorGoneError, NameTakenError, Shared
from k3k_kubelet.sync.twins import Twins
from k3k_kubelet.translate import Refused, allocation, service
from k3k_kubelet.translate.special import special_address

log = logging.getLogger(__name__)

SECONDS = 8.0
"""For an answer: the API server waits for ten."""
RETRY_SECONDS = 1
"""What is told to clients whose request may be granted a moment later: the API server makes it a Retry-After
header, by which kubectl and all else of client-go asks again by itself, ten times at most."""
_PASSING = (429, 503, 504)
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
"""Letters of generated names (k8s.io/apimachinery/pkg/util/rand)."""
_SUFFIX_LENGTH, _LONGEST_BASE = 5, 63 - 5

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_Text = Annotated[str, Meta(max_length=1024)]


class _Metadata(msgspec.Struct, rename="camel"):
    name: _Text = ""
    generate_name: _Text = ""
    uid: _Text = ""
    resource_version: Annotated[str, Meta(pattern=r"^[0-9]{0,20}$")] = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Port(msgspec.Struct, rename="camel"):
    port: int
    name: str | None = None
    protocol: str | None = None
    node_port: int | None = None


class _Spec(msgspec.Struct, rename={"cluster_ip": "clusterIP", "cluster_ips": "clusterIPs"}):
    type: str | None = None
    cluster_ip: str | None = None
    cluster_ips: list[str] | None = None
    ports: list[_Port] | None = None


class _Service(msgspec.Struct, rename="camel"):
    metadata: _Metadata
    spec: _Spec


class Request(msgspec.Struct, rename="camel"):
    """AdmissionRequest of admission.k8s.io/v1, as far as it is read."""

    uid: Annotated[str, Meta(min_length=1, max_length=128)]
    operation: Literal["CREATE", "UPDATE"]
    namespace: Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
    object: dict[str, Any]
    old_object: dict[str, Any] | None = None
    dry_run: bool = False
    name: _Text = ""


class Denied(Exception):  # noqa: N818 -- an answer, not a defect
    """The request is refused."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class ServiceAdmission:
    """Answers admission requests for Services. Every replica does.

    Args:
        shared: The two clusters.
        twins: Makes host Services.
        cidrs: The ranges of the virtual API server.
        policy: What the tenant may do; its file is looked at for each request.
    """

    def __init__(self, shared: Shared, twins: Twins, cidrs: ServiceCidrs, policy: PolicyFile) -> None:
        self._shared = shared
        self._twins = twins
        self._cidrs = cidrs
        self._policy = policy

    async def answer(self, body: bytes) -> tuple[bytes, int]:
        """The AdmissionReview that answers one, and the HTTP status that the client gets.

        Raises:
            ValueError: It is none.
        """
        review = msgspec.json.decode(body, type=_Review)
        request = review.request
        response: Object = {"uid": request.uid, "allowed": True}
        try:
            async with asyncio.timeout(SECONDS):
                patch = await self._patch(request)
            if patch:
                encoded = base64.b64encode(orjson.dumps(patch)).decode()
                response |= {"patchType": "JSONPatch", "patch": encoded}
        except TimeoutError:
            response |= _denied(504, "Timeout", f"the host did not answer within {SECONDS:g} s: try again")
        except Denied as denied:
            response |= _denied(denied.code, denied.reason, str(denied))
        code: int = response.get("status", {}).get("code", 200)
        answer = {"apiVersion": review.api_version, "kind": "AdmissionReview", "response": response}
        return orjson.dumps(answer), code

    async def _patch(self, request: Request) -> list[Object]:
        """The JSON patch for the Service; empty for one that has all it needs."""
        if request.dry_run:
            return []
        wanted, old = _checked(request)
        if not allocation.needs_address(wanted) or not _has_name(wanted["metadata"]):
            return []  # nothing to get, or about to be refused
        patch = []
        if not wanted["metadata"].get("name"):
            wanted["metadata"]["name"] = name = _generated(wanted["metadata"]["generateName"], request.uid)
            patch.append({"op": "add", "path": "/metadata/name", "value": name})
        spec = await self._spec(wanted, old, request.uid)
        return [*patch, *_changes(request.object["spec"], spec)] if spec is not None else []

    async def _spec(self, wanted: Object, old: Object | None, request: str) -> Object | None:
        """The spec with what the host gave; None where the Service needs nothing of the host."""
        metadata, cluster = wanted["metadata"], self._shared.cluster
        dual_stack = self._shared.config.dual_stack
        if old is not None:
            wanted = allocation.completed(wanted, old)
        address = special_address(cluster, metadata["namespace"], metadata["name"])
        if address is not None:
            twin: Object = {"spec": {"clusterIP": address, "clusterIPs": [address]}}
        else:
            if old is not None and not allocation.asks_the_host(wanted, old, dual_stack=dual_stack):
                return None
            made = await self._twin(wanted, metadata["resourceVersion"] if old else "", request)
            if made is None:
                return None
            twin = made
        await self._cidrs.ensure(allocation.addresses(twin))
        return service.allocated(wanted, twin if dual_stack else allocation.first_family(twin))

    async def _twin(self, wanted: Object, version: str, request: str) -> Object | None:
        """The Service's twin on the host; None for one that has none.

        Raises:
            Denied: The policy or the host does not want it.
        """
        self._policy.read()
        policy = self._policy.current
        setting = policy.sync.to_host.services
        if not (setting.enabled and setting.selector.matches(wanted["metadata"].get("labels"))):
            return None
        try:
            copy = service.to_host(wanted, self._shared.cluster, policy)
            if copy is None:
                return None
            self._shared.check_anchor()
            return await self._twins.make(wanted, copy.manifest, version, request)
        except Refused as refused:
            raise Denied(403, "Forbidden", str(refused)) from refused
        except (ApiError, NameTakenError, AnchorGoneError) as error:
            raise self._said(wanted, error) from error

    def _said(self, wanted: Object, error: Exception) -> Denied:
        """What the tenant may read of a refusal: the host's own words, with the names he knows."""
        said = self._shared.said_inside(wanted, error)
        if isinstance(error, AlreadyExistsError):
            return Denied(409, error.reason, said)
        metadata = wanted["metadata"]
        log.warning(
            "Service denied",
            extra={"object": f"{metadata['namespace']}/{metadata['name']}", "error": str(error)},
        )
        if not isinstance(error, ApiError):
            return Denied(409, "Conflict", said)
        if error.is_outage:
            return Denied(503, "ServiceUnavailable", "the host cannot be reached now: try again later")
        if isinstance(error, ForbiddenError) and error.is_about_rights:
            return Denied(503, "ServiceUnavailable", f"{said}: try again later")
        return Denied(error.code, error.reason, f"the host does not take it: {said}")


class _Review(msgspec.Struct, rename="camel"):
    api_version: Literal["admission.k8s.io/v1"]
    request: Request


def _denied(code: int, reason: str, message: str) -> Object:
    status: Object = {"code": code, "reason": reason, "message": message}
    if code in _PASSING:
        status["details"] = {"retryAfterSeconds": RETRY_SECONDS}
    return {"allowed": False, "status": status}


def _checked(request: Request) -> tuple[Object, Object | None]:
    """The Service and what it was before, with the metadata that the request says.

    Whoever reaches the port may have written the request, so its parts have to be of their types.

    Raises:
        ValueError: They are not.
    """
    found = []
    for each in (request.object, request.old_object):
        if each is not None:
            msgspec.convert(each, _Service)
        found.append(each)
    wanted, old = found
    is_update = request.operation == "UPDATE"
    if wanted is None or is_update is (old is None):
        raise ValueError(f"{request.operation} has {'no' if old is None else 'an'} oldObject")
    metadata: Object = {**wanted["metadata"], "namespace": request.namespace}
    if is_update and old is not None:
        if not old["metadata"].get("resourceVersion"):
            raise ValueError("oldObject has no resourceVersion: it was nowhere")
        kept = ("name", "uid", "resourceVersion")
        metadata |= {key: old["metadata"].get(key, "") for key in kept}
    else:
        metadata = {key: value for key, value in metadata.items() if key not in ("uid", "resourceVersion")}
    return {**wanted, "metadata": metadata}, old


def _has_name(metadata: Object) -> bool:
    """Whether a Service can have this name, or one that is generated."""
    name, base = str(metadata.get("name") or ""), str(metadata.get("generateName") or "")
    if not name and base:
        name = _generated(base, "")
    return _NAME.fullmatch(name) is not None


def _generated(base: str, request: str) -> str:
    """A name as the API server would generate it; the same each time that a request comes."""
    digest = hashlib.blake2b(request.encode(), digest_size=_SUFFIX_LENGTH).digest()
    return base[:_LONGEST_BASE] + "".join(_SUFFIX[byte % len(_SUFFIX)] for byte in digest)


def _changes(spec: Object, wanted: Object) -> list[Object]:
    """JSON patch from one spec to the other, member by member."""
    return [
        {"op": "add", "path": f"/spec/{key}", "value": value}
        for key, value in wanted.items()
        if spec.get(key) != value
    ]
