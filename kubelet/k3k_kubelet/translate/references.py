"""What a pod refers to, without translating it: for the index of objects, and for renewing tokens."""

from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate import services
from k3k_kubelet.translate.names import is_name
from k3k_kubelet.translate.objects import References, TokenProjection
from k3k_kubelet.translate.rules.references import DEFAULT_EXPIRATION


def references(pod: Mapping[str, Any]) -> References:
    """Names inside of what a pod uses, in its own namespace; also for pods that translation refuses.

    What no object can be called (`../x`) is left out: translation refuses such a pod. A claim uses the one
    that it is filled from.
    """
    spec = pod.get("spec") or {}
    config_maps = {services.source(spec)}
    secrets: set[str] = set()
    claims: set[str] = set()
    _add(claims, spec.get("dataSource"))
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            for source in container.get("envFrom") or ():
                _add(config_maps, source.get("configMapRef"))
                _add(secrets, source.get("secretRef"))
            for entry in container.get("env") or ():
                value = entry.get("valueFrom") or {}
                _add(config_maps, value.get("configMapKeyRef"))
                _add(secrets, value.get("secretKeyRef"))
    for secret in spec.get("imagePullSecrets") or ():
        _add(secrets, secret)
    for volume in spec.get("volumes") or ():
        _add(config_maps, volume.get("configMap"))
        _add(secrets, volume.get("secret"), "secretName")
        _add(claims, volume.get("persistentVolumeClaim"), "claimName")
        if volume.get("ephemeral"):
            _add(claims, {"name": f"{pod['metadata']['name']}-{volume['name']}"})
        for source in (volume.get("projected") or {}).get("sources") or ():
            _add(config_maps, source.get("configMap"))
            _add(secrets, source.get("secret"))
    return References(frozenset(config_maps), frozenset(secrets), frozenset(claims))


def _add(found: set[str], reference: Mapping[str, Any] | None, key: str = "name") -> None:
    if reference and is_name(reference.get(key) or ""):
        found.add(reference[key])


def token_projections(pod: Mapping[str, Any]) -> tuple[TokenProjection, ...]:
    """The tokens that a pod mounts, equal requests once; keys are stable for one pod."""
    found: dict[tuple[str, int], TokenProjection] = {}
    for volume in pod["spec"].get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            token = source.get("serviceAccountToken")
            if token is not None:
                request = (token.get("audience", ""), token.get("expirationSeconds", DEFAULT_EXPIRATION))
                found.setdefault(request, TokenProjection(f"token-{len(found)}", *request))
    return tuple(found.values())
