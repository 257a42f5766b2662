"""The writer of layers and archives, read back with tarfile."""

import gzip
import hashlib
import io
import json
import os
import struct
import tarfile
from pathlib import Path

import pytest

from devcluster import oci


def members(layer: oci.Layer) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(layer.path) as tar:
        return {member.name: member for member in tar}


def test_a_layer_has_what_its_entries_say(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"from a file")
    layer = oci.write_layer(
        [
            oci.Entry("usr/bin/server", b"program", mode=0o755, capabilities=frozenset({10, 33})),
            oci.Entry("etc/config", tmp_path / "source", mode=0o640, uid=10, gid=20),
            oci.Entry("tmp", mode=0o1777),
            oci.Entry("bin", link="usr/bin"),
        ],
        tmp_path / "layer.tar.gz",
    )
    found = members(layer)
    assert list(found) == ["bin", "etc", "etc/config", "tmp", "usr", "usr/bin", "usr/bin/server"]
    assert (found["etc/config"].mode, found["etc/config"].uid, found["etc/config"].gid) == (0o640, 10, 20)
    assert found["tmp"].isdir()
    assert found["tmp"].mode == 0o1777
    assert found["bin"].linkname == "usr/bin"
    assert {member.mtime for member in found.values()} == {oci.EPOCH}
    with tarfile.open(layer.path) as tar:
        content = tar.extractfile("etc/config")
        assert content
        assert content.read() == b"from a file"
    assert layer.unpacked == len(b"program") + len(b"from a file")


def test_file_capabilities_are_what_the_kernel_reads(tmp_path: Path) -> None:
    """struct vfs_cap_data: revision 2 with the effective flag; 32 bits permitted and inheritable, twice."""
    entry = oci.Entry("server", b"x", capabilities=frozenset({oci.CAP_NET_BIND_SERVICE, 33}))
    layer = oci.write_layer([entry], tmp_path / "layer.tar.gz")
    value = members(layer)["server"].pax_headers["SCHILY.xattr.security.capability"]
    assert value.encode() == struct.pack("<5I", 0x02000001, 1 << 10, 0, 1 << 1, 0)


def test_digests_are_those_of_the_bytes(tmp_path: Path) -> None:
    layer = oci.write_layer([oci.Entry("a", b"1")], tmp_path / "layer.tar.gz")
    packed = layer.path.read_bytes()
    assert layer.digest == "sha256:" + hashlib.sha256(packed).hexdigest()
    assert layer.diff_id == "sha256:" + hashlib.sha256(gzip.decompress(packed)).hexdigest()
    assert layer.size == len(packed)


def test_the_same_files_give_the_same_layer(tmp_path: Path) -> None:
    digests: list[str] = []
    for name, order in (("one", ("a", "b")), ("two", ("b", "a"))):
        folder = tmp_path / name / "deep"
        folder.mkdir(parents=True)
        for file in order:
            (folder / file).write_text(file)
            os.utime(folder / file, (len(digests), len(digests)))
        (folder / "link").symlink_to("a")
        digests.append(oci.write_layer(oci.entries_of(tmp_path / name), tmp_path / f"{name}.tar.gz").digest)
    assert digests[0] == digests[1]


def test_a_folders_setuid_bits_and_owners_stay_out(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    program = tmp_path / "root" / "su"
    program.write_text("")
    program.chmod(0o4755)
    os.mkfifo(tmp_path / "fifo")
    (entry,) = oci.entries_of(tmp_path / "root", prefix="usr/bin", uid=5, gid=6)
    assert (entry.name, entry.mode, entry.uid, entry.gid) == ("usr/bin/su", 0o755, 5, 6)
    with pytest.raises(ValueError, match="fifo: neither file, folder nor symbolic link"):
        list(oci.entries_of(tmp_path))


def test_a_name_twice_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a: twice in one layer"):
        oci.write_layer([oci.Entry("a", b""), oci.Entry("a", b"")], tmp_path / "layer.tar.gz")
    with pytest.raises(FileNotFoundError):
        oci.write_layer([oci.Entry("a", tmp_path / "missing")], tmp_path / "layer.tar.gz")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_is_an_oci_layout_and_a_docker_archive(tmp_path: Path) -> None:
    layers = [oci.write_layer([oci.Entry(name, b"1")], tmp_path / name) for name in ("a", "b")]
    config = oci.Config(entrypoint=["run"], user="65532:65532", environment={"B": "2", "A": "1"})
    image = oci.write_archive(tmp_path / "image.tar", "registry.example/team/app:1.2", config, layers)
    files = {}
    with tarfile.open(image.archive) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file
            files[member.name] = file.read()
    for name, content in files.items():
        if name.startswith("blobs/sha256/"):
            assert name.rpartition("/")[2] == hashlib.sha256(content).hexdigest()
    (top,) = json.loads(files["index.json"])["manifests"]
    assert top["digest"] == image.digest
    assert top["annotations"] == {
        "io.containerd.image.name": "registry.example/team/app:1.2",
        "org.opencontainers.image.ref.name": "1.2",
    }
    manifest = json.loads(files["blobs/" + image.digest.replace(":", "/")])
    assert [layer["digest"] for layer in manifest["layers"]] == [layer.digest for layer in layers]
    written = json.loads(files["blobs/" + manifest["config"]["digest"].replace(":", "/")])
    assert written["config"] == {
        "Entrypoint": ["run"],
        "User": "65532:65532",
        "Env": ["A=1", "B=2"],
        "WorkingDir": "/",
    }
    assert written["rootfs"]["diff_ids"] == [layer.diff_id for layer in layers]
    (docker,) = json.loads(files["manifest.json"])
    assert docker["RepoTags"] == ["registry.example/team/app:1.2"]
    assert files[docker["Config"]] == files["blobs/" + manifest["config"]["digest"].replace(":", "/")]
    assert gzip.GzipFile(fileobj=io.BytesIO(files[docker["Layers"][1]])).read(1) == b"b"


@pytest.mark.parametrize("reference", ["app:1", "registry.example/app", "registry.example:5000/app"])
def test_a_reference_needs_registry_and_tag(tmp_path: Path, reference: str) -> None:
    with pytest.raises(ValueError, match="must be registry/name:tag"):
        oci.write_archive(tmp_path / "image.tar", reference, oci.Config(), [])
