"""What the downward API reads from a host pod: the tenant's own labels and annotations, live."""

from collections.abc import Iterator, Mapping
from typing import Any

from k3k_kubelet.translate import identity, names
from k3k_kubelet.translate.rules.environment import ANNOTATIONS_FILE, LABELS_FILE, SERVICE_ACCOUNT, SUBSCRIPT

_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}
_LATIN = 0x80
_BASIC_PLANE = 0x10000


def annotations(pod: Mapping[str, Any]) -> dict[str, str]:
    """Annotations of the host pod that give the downward API its values.

    Only annotations that the pod refers to are carried: all of them could double what Kubernetes lets one
    object have. A whole map is carried as the text that the kubelet would write.
    """
    metadata = pod["metadata"]
    own: Mapping[str, str] = metadata.get("annotations") or {}
    made = {SERVICE_ACCOUNT: pod["spec"].get("serviceAccountName") or "default"}
    for path in field_paths(pod["spec"]):
        if path == "metadata.labels":
            made[LABELS_FILE] = format_map(metadata.get("labels") or {})
        elif path == "metadata.annotations":
            shown = {key: value for key, value in own.items() if key != identity.HOST_POD_UID}
            made[ANNOTATIONS_FILE] = format_map(shown)
        elif (found := SUBSCRIPT.fullmatch(path)) and found[1] == "annotations" and found[2] in own:
            made[names.annotation_key(found[2])] = own[found[2]]
    return made


def field_paths(spec: Mapping[str, Any]) -> Iterator[str]:
    """Every fieldPath of a pod's spec, ephemeral containers included."""
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            for entry in container.get("env") or ():
                yield from _path((entry.get("valueFrom") or {}).get("fieldRef"))
    for volume in spec.get("volumes") or ():
        sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        for source in sources:
            for item in (source.get("downwardAPI") or {}).get("items") or ():
                yield from _path(item.get("fieldRef"))


def reads_annotations(spec: Mapping[str, Any]) -> bool:
    """Whether a pod reads any annotation of its own."""
    return any(path.startswith("metadata.annotations") for path in field_paths(spec))


def _path(reference: Mapping[str, Any] | None) -> Iterator[str]:
    if reference and type(reference.get("fieldPath")) is str:
        yield reference["fieldPath"]


def format_map(values: Mapping[str, str]) -> str:
    """A map as the kubelet writes it to a file: sorted `key="value"` lines (its fieldpath.FormatMap)."""
    return "\n".join(f"{key}={quote(values[key])}" for key in sorted(values))


def quote(text: str) -> str:
    """A string as Go's strconv.Quote writes it."""
    return '"' + "".join(c if c.isprintable() and c not in _ESCAPES else _escape(c) for c in text) + '"'


def _escape(character: str) -> str:
    code = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    if code < _LATIN and not character.isprintable():
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < _BASIC_PLANE else f"\\U{code:08x}"
