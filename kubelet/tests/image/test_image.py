"""The whole image, built for real: needs root and this machine's Debian or Ubuntu package sources."""

import json
import shutil
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import k3k_kubelet
import pytest

from devcluster import oci
from kubelet.image import build


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy: nobody edits it while the tests run, nor writes into it what Python has compiled."""
    copy = tmp_path_factory.mktemp("source") / "k3k_kubelet"
    shutil.copytree(Path(k3k_kubelet.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, source: Path) -> oci.Image:
    return build.build(tmp_path_factory.mktemp("first"), source=source)


def contents(image: oci.Image) -> tuple[dict[str, Any], dict[str, tarfile.TarInfo]]:
    """The image's configuration, and the union of its layers."""
    files: dict[str, tarfile.TarInfo] = {}
    with tarfile.open(image.archive) as archive:

        def read(name: str) -> Any:
            file = archive.extractfile(name)
            assert file
            return file

        (docker,) = json.load(read("manifest.json"))
        for layer in docker["Layers"]:
            with tarfile.open(fileobj=read(layer)) as tar:
                files |= {
                    member.name: member for member in tar if not member.isdir() or member.name not in files
                }
        return json.load(read(docker["Config"])), files


def test_two_builds_from_nothing_are_the_same_to_the_byte(
    image: oci.Image, source: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    again = build.build(tmp_path_factory.mktemp("second"), source=source)
    assert again.digest == image.digest
    assert sha256(again.archive.read_bytes()).digest() == sha256(image.archive.read_bytes()).digest()


def layers_of(image: oci.Image) -> dict[str, int]:
    """When each cached layer was written."""
    work = image.archive.parent.parent / "image-build"
    return {path.parent.name: path.stat().st_mtime_ns for path in work.glob("*/layer.tar.gz")}


def test_only_the_layer_whose_inputs_changed_is_made_anew(image: oci.Image, source: Path) -> None:
    cache = image.archive.parent.parent
    before = layers_of(image)
    assert len(before) == 3
    assert build.build(cache, source=source).digest == image.digest
    assert layers_of(image) == before
    (source / "one_more.py").write_text("")
    assert build.build(cache, source=source).digest != image.digest
    (new,) = layers_of(image).keys() - before.keys()
    assert new.startswith("package-")
    assert before.items() <= layers_of(image).items()


def test_it_runs_the_kubelet_as_nobody(image: oci.Image) -> None:
    config, files = contents(image)
    assert image.reference == f"ghcr.io/k3k-pulumi/kubelet:{build.version()}"
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["Entrypoint"] == ["k3k-kubelet"]
    assert files["usr/local/bin/k3k-kubelet"].mode == 0o755


def test_it_has_two_programs_and_no_shell(image: oci.Image) -> None:
    _, files = contents(image)
    programs = {name for name in files if name.split("/")[-2:-1] == ["bin"] or "/sbin/" in name}
    assert {name.rpartition("/")[2].rstrip("0123456789.") for name in programs} == {
        "openssl",
        "python",
        "k3k-kubelet",
    }
    assert not [name for name, member in files.items() if member.mode & 0o6000]
    assert not [name for name, member in files.items() if (member.uid, member.gid) != (0, 0)]


def test_every_module_is_compiled_and_no_machine_file_is_in_it(image: oci.Image) -> None:
    _, files = contents(image)
    sources = [name for name in files if name.endswith(".py") and "/python" in name]
    compiled = {
        name.replace("__pycache__/", "").partition(".cpython-")[0] for name in files if name.endswith(".pyc")
    }
    assert len(sources) > 400
    assert [name for name in sources if name.removesuffix(".py") not in compiled] == []
    unwanted = ("var/log/", "var/cache/", "var/lib/apt/", "etc/machine-id", "etc/resolv.conf", "etc/hostname")
    assert not [name for name in files if name.startswith(unwanted)]


def test_scanners_find_its_packages(image: oci.Image) -> None:
    _, files = contents(image)
    records = {name.rpartition("/")[2] for name in files if name.startswith("var/lib/dpkg/status.d/")}
    assert {"libc6", "openssl", "ca-certificates"} <= records
    assert not {"dash", "bash", "apt", "dpkg", "perl-base", "coreutils"} & records
    assert all(f"usr/share/doc/{name}/copyright" in files for name in ("libc6", "openssl"))


def test_it_is_small(image: oci.Image) -> None:
    assert image.compressed < 25_000_000
    assert image.unpacked < 60_000_000
