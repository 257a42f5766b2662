"""Copies written to the host by server-side apply: fields of ours are as we say, those of others stay."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from k3k_kubelet.api import ApiClient, ConflictError, NotFoundError, PatchType, Resource
from k3k_kubelet.api.client import Object
from k3k_kubelet.sync.shared import NameTakenError
from k3k_kubelet.translate import identity
from k3k_kubelet.translate.names import DOMAIN

FIELD_MANAGER = "k3k-pulumi"
MANIFEST = f"{DOMAIN}/manifest"
"""Annotation of a copy: a hash of what was applied last."""


def fingerprint(manifest: Object) -> str:
    """A hash of what is to be applied."""
    raw = orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(raw, digest_size=12).hexdigest()


def is_applied(manifest: Object, host: Object) -> bool:
    """Whether `manifest` is what was applied last."""
    found = host["metadata"].get("annotations") or {}
    return bool(found.get(MANIFEST) == fingerprint(manifest))


def has_all(wanted: Any, found: Any) -> bool:
    """Whether an object has all that was applied; what is empty need not be there."""
    if isinstance(wanted, dict):
        fields = found if isinstance(found, dict) else {}
        return all(has_all(value, fields.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        items = found if isinstance(found, list) else []
        return len(wanted) == len(items) and all(map(has_all, wanted, items))
    return bool(wanted == found) or (not wanted and found is None)


async def apply(
    host: ApiClient,
    resource: Resource,
    manifest: Object,
    known: Object | None,
    met: Callable[[Object], Awaitable[None]] | None = None,
) -> Object:
    """Makes a copy, or makes it what `manifest` says.

    One that is known is changed as it was when that was decided: what another one made of it meanwhile (the
    admission of a Service, say) is not undone.

    Args:
        host: Host API server.
        resource: Of the copy.
        manifest: All that we say of it.
        known: The copy, if it is known to be there.
        met: Gets the metadata of one that was not known, and yet is there; may raise to leave it alone.

    Returns:
        The copy as it is then.

    Raises:
        NameTakenError: An object of somebody else has the name; it is left alone.
        ConflictError: The copy is of an earlier object of that name inside, or no longer what is `known`.
        ApiError: The host refused it, or did not answer.
    """
    metadata = manifest["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    if known is None:
        known = await _found(host, resource, manifest)
        if known is not None and met is not None:
            await met(known)
    there = {key: known["metadata"][key] for key in ("uid", "resourceVersion")} if known else {}
    annotations = {**metadata["annotations"], MANIFEST: fingerprint(manifest)}
    body = {**manifest, "metadata": {**metadata, "annotations": annotations, **there}}
    return await host.patch(
        *(resource, namespace, name, body), kind=PatchType.APPLY, field_manager=FIELD_MANAGER
    )


async def _found(host: ApiClient, resource: Resource, manifest: Object) -> Object | None:
    """What has the name already, if that is the same object's copy."""
    metadata = manifest["metadata"]
    try:
        found = await host.get(resource, metadata["namespace"], metadata["name"], metadata_only=True)
    except NotFoundError:
        return None
    owner, wanted = identity.owner_of(found), identity.owner_of(manifest)
    if owner is None or wanted is None or _named(owner) != _named(wanted):
        raise NameTakenError(resource.kind, metadata["name"], owner)
    if owner.uid and wanted.uid and owner.uid != wanted.uid:
        raise ConflictError(409, "Conflict", f"{metadata['name']} is the copy of an earlier object")
    return found


def _named(owner: identity.Identity) -> tuple[str, str, str]:
    return owner.cluster, owner.namespace, owner.name
