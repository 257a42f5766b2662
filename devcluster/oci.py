"""Container images written without an engine: layers from files, archives that every engine loads.

An archive is an OCI image layout that also carries Docker's manifest.json, in one tar: `ctr images import`,
`docker load` and `kind load image-archive` take it. The same input gives the same bytes: entries are sorted,
times are one given instant, owners are numbers, nothing of the machine gets in.
"""

from __future__ import annotations

import contextlib
import datetime
import gzip
import hashlib
import io
import json
import os
import platform
import stat
import struct
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

EPOCH = 1_767_225_600
"""2026-01-01 00:00 UTC: the time of every file and image; any fixed instant will do."""
CAP_NET_BIND_SERVICE = 10
_COMPRESSION = 6
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def architecture() -> str:
    """This machine's architecture by its OCI name, as `amd64`."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


@dataclass(frozen=True)
class Entry:
    """One file, folder or symbolic link of a layer.

    Attributes:
        name: Path in the image without a leading slash.
        content: Bytes or a file with them; None for a folder.
        link: Target of a symbolic link; excludes `content`.
        mode: Permissions; ignored for links.
        capabilities: Linux capability numbers set on the file (permitted and effective).
    """

    name: str
    content: bytes | Path | None = None
    link: str | None = None
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    capabilities: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Layer:
    """A compressed layer on disk. `unpacked` is the sum of the file sizes in bytes."""

    path: Path
    digest: str
    diff_id: str
    size: int
    unpacked: int


@dataclass(frozen=True)
class Config:
    """What a container of the image runs, as in the OCI image configuration."""

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = "/"
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Image:
    """A written archive: the manifest's digest, sizes in bytes of the compressed and the unpacked layers."""

    archive: Path
    reference: str
    digest: str
    compressed: int
    unpacked: int


def entries_of(root: Path, *, prefix: str = "", uid: int = 0, gid: int = 0) -> Iterator[Entry]:
    """The entries of a folder, below `prefix` in the image, for the given owner, without setuid bits."""
    for folder, folders, files in os.walk(root):
        for name in sorted(folders + files):
            path = Path(folder, name)
            inside = str(PurePosixPath(prefix, path.relative_to(root)))
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                yield Entry(inside, link=str(path.readlink()), uid=uid, gid=gid)
            elif stat.S_ISDIR(mode):
                yield Entry(inside, mode=mode & 0o1777, uid=uid, gid=gid)
            elif stat.S_ISREG(mode):
                yield Entry(inside, content=path, mode=mode & 0o777, uid=uid, gid=gid)
            else:
                raise ValueError(f"{path}: neither file, folder nor symbolic link")


def write_layer(entries: Iterable[Entry], path: Path) -> Layer:
    """Writes a gzip layer, missing parent folders (root, 0755) included; the same name twice is an error."""
    by_name: dict[str, Entry] = {}
    for entry in entries:
        if entry.name in by_name:
            raise ValueError(f"{entry.name}: twice in one layer")
        by_name[entry.name] = entry
    for name in list(by_name):
        for parent in PurePosixPath(name).parents:
            if str(parent) != ".":
                by_name.setdefault(str(parent), Entry(str(parent)))
    diff = hashlib.sha256()
    with _replacing(path) as file, gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as packed:
        sink = cast("IO[bytes]", _Sink(packed, diff.update))  # tarfile needs no more than write
        with tarfile.open(mode="w|", fileobj=sink, format=tarfile.PAX_FORMAT) as tar:
            unpacked = sum(_add(tar, by_name[name]) for name in sorted(by_name))
    return Layer(path, _digest_of(path), f"sha256:{diff.hexdigest()}", path.stat().st_size, unpacked)


def write_archive(path: Path, reference: str, config: Config, layers: Sequence[Layer]) -> Image:
    """Writes an image archive in one step.

    Args:
        path: The archive; replaced when complete.
        reference: Full name with registry and tag, as `registry.k8s.io/pause:3.10`.
        config: What a container runs.
        layers: Lowest first.
    """
    image_config = _json(_image_config(config, layers))
    media = "application/vnd.oci.image"
    manifest = _json({
        "schemaVersion": 2,
        "mediaType": f"{media}.manifest.v1+json",
        "config": _descriptor(f"{media}.config.v1+json", image_config),
        "layers": [
            {"mediaType": f"{media}.layer.v1.tar+gzip", "digest": layer.digest, "size": layer.size}
            for layer in layers
        ],
    })  # fmt: skip
    annotations = {
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": _tag(reference),
    }
    top = _descriptor(f"{media}.manifest.v1+json", manifest)
    index = {
        "schemaVersion": 2,
        "mediaType": f"{media}.index.v1+json",
        "manifests": [top | {"annotations": annotations}],
    }
    docker = [{
        "Config": _blob(_digest(image_config)),
        "RepoTags": [reference],
        "Layers": [_blob(layer.digest) for layer in layers],
    }]  # fmt: skip
    files: dict[str, bytes | Path] = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json(index),
        "manifest.json": _json(docker),
        _blob(_digest(image_config)): image_config,
        _blob(_digest(manifest)): manifest,
    } | {_blob(layer.digest): layer.path for layer in layers}
    with _replacing(path) as file, tarfile.open(mode="w", fileobj=file, format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(files):
            _add(tar, Entry(name, content=files[name], mode=0o644))
    compressed, unpacked = sum(layer.size for layer in layers), sum(layer.unpacked for layer in layers)
    return Image(path, reference, _digest(manifest), compressed, unpacked)


def _image_config(config: Config, layers: Sequence[Layer]) -> dict[str, Any]:
    run: dict[str, Any] = {
        "User": config.user,
        "Env": [f"{name}={value}" for name, value in sorted(config.environment.items())],
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.command),
        "WorkingDir": config.working_dir,
        "Labels": dict(sorted(config.labels.items())),
    }
    return {
        "created": datetime.datetime.fromtimestamp(EPOCH, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "architecture": architecture(),
        "os": "linux",
        "config": {name: value for name, value in run.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
    }


def _add(tar: tarfile.TarFile, entry: Entry) -> int:
    """Adds one entry and returns its size."""
    info = tarfile.TarInfo(entry.name)
    info.mtime, info.mode, info.uid, info.gid = EPOCH, entry.mode, entry.uid, entry.gid
    if entry.capabilities:
        # struct vfs_cap_data, revision 2 with the effective flag; the value is text to tarfile.
        bits = sum(1 << number for number in entry.capabilities)
        value = struct.pack("<5I", 0x02000001, bits & 0xFFFFFFFF, 0, bits >> 32, 0)
        info.pax_headers = {"SCHILY.xattr.security.capability": value.decode("utf-8", "surrogateescape")}
    if entry.link is not None:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
        tar.addfile(info)
    elif entry.content is None:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    elif isinstance(entry.content, bytes):
        info.size = len(entry.content)
        tar.addfile(info, io.BytesIO(entry.content))
    else:
        with entry.content.open("rb") as file:
            info.size = os.fstat(file.fileno()).st_size
            tar.addfile(info, file)
    return info.size


class _Sink:
    """Passes what is written on, and shows it to someone else as well."""

    def __init__(self, target: gzip.GzipFile, look: Callable[[bytes], object]) -> None:
        self._target, self._look = target, look

    def write(self, data: bytes) -> int:
        self._look(data)
        return self._target.write(data)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name only when it was written without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _tag(reference: str) -> str:
    tag = reference.rpartition("/")[2].partition(":")[2]
    if not tag or "/" not in reference:
        raise ValueError(f"image reference {reference!r}: must be registry/name:tag")
    return tag


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
