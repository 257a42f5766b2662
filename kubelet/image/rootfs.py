"""The lowest layer: a Python and an openssl program with the libraries they load, and nothing else.

Kept is what is named here and what the ELF files among that need; so there is no shell, no package manager
and no program but openssl and python3. Licences and, for vulnerability scanners, the packages' records stay.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from devcluster.errors import DevclusterError
from devcluster.shell import run
from kubelet.image import debian

MINIMUM_PYTHON = (3, 11)
USER = 65532
"""The conventional `nonroot` of images without a shell."""

_PROGRAMS = ("usr/bin/openssl", "usr/bin/python3")
_FILES = ("usr/lib/ssl/openssl.cnf", "etc/ssl/openssl.cnf")
# The loader; what glibc itself opens when a thread is cancelled; what wheels ask for.
_LIBRARIES = (
    *("ld-linux-*.so.*", "libgcc_s.so.1", "libstdc++.so.6"),
    *("libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1", "libutil.so.1"),
)
_STDLIB_LEFT_OUT = (
    *("EXTERNALLY-MANAGED", "__pycache__", "_pyrepl", "config-*", "curses", "dbm", "distutils", "ensurepip"),
    *("idlelib", "lib2to3", "pydoc.py", "pydoc_data", "sitecustomize.py", "sqlite3", "test", "tkinter"),
    *("turtle.py", "turtledemo", "unittest", "venv", "xmlrpc"),
)
_EXTENSIONS_LEFT_OUT = (
    *("_codecs_*", "_crypt.*", "_curses*", "_dbm.*", "_gdbm.*", "_sqlite3.*", "_test*", "_tkinter*"),
    *("_xxtestfuzz*", "audioop.*", "nis.*", "ossaudiodev.*", "readline.*", "xxlimited*"),
)
_FOLDERS = {"dev": 0o755, "proc": 0o555, "run": 0o755, "sys": 0o555, "tmp": 0o1777, "usr/local": 0o755}
_PASSWD = f"root:x:0:0:root:/:/nonexistent\nnonroot:x:{USER}:{USER}:nonroot:/nonexistent:/nonexistent\n"
_GROUP = f"root:x:0:\nnonroot:x:{USER}:\n"


def assemble(source: Path, target: Path) -> None:
    """Copies what the image needs out of unpacked packages.

    Args:
        source: A tree of `debian.unpack`.
        target: An empty folder.

    Raises:
        DevclusterError: A Python that is too old, a library that no package has.
    """
    version = python_version(source)
    select(source, target, (*_PROGRAMS, *_FILES, f"usr/bin/python{version}", *_stdlib(source, version)))
    _certificates(source, target)
    _records(source, target)
    skeleton(target)
    compile_all(target, f"/usr/lib/python{version}")


def select(source: Path, target: Path, names: Iterable[str]) -> None:
    """Copies files and the libraries they load out of unpacked packages.

    Args:
        source: A tree of `debian.unpack`.
        target: An empty folder.
        names: Files, as paths in the tree without a leading slash, /usr merged.

    Raises:
        DevclusterError: A library that no package has.
    """
    _merge_usr(source)
    chosen = set(names)
    chosen |= set(_libraries(source, chosen))
    for name in sorted(chosen):
        _copy(source, target, name)


def skeleton(target: Path) -> None:
    """What every root file system has: folders, links into /usr, users, how names are looked up."""
    for name in ("bin", "lib", "lib64", "sbin"):
        (target / "usr" / name).mkdir(exist_ok=True)
        (target / name).symlink_to(f"usr/{name}")
    for name, mode in _FOLDERS.items():
        (target / name).mkdir(exist_ok=True)
        (target / name).chmod(mode)
    _write(target / "etc/passwd", _PASSWD)
    _write(target / "etc/group", _GROUP)
    _write(target / "etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    _write(target / "etc/os-release", Path("/etc/os-release").read_text())


def compile_all(root: Path, folder: str, *, local: Path | None = None) -> None:
    """Byte-compiles a folder with the Python of `root`: a container with a read-only root starts fast.

    Unchecked hashes instead of times make the result depend on the sources alone.

    Args:
        root: A tree of `assemble`.
        folder: Path inside of it.
        local: Another tree whose `usr/local` stands in for that of `root`.
    """
    command = ["/usr/bin/python3", "-I", "-m", "compileall", "-q", folder]
    command += ["--invalidation-mode", "unchecked-hash"]
    mount = 'mount --bind "$2/usr/local" "$1/usr/local" && ' if local else ""
    script = mount + 'root=$1 && shift 2 && exec chroot "$root" "$@"'
    unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    run(*unshare, root, local or root, *command, env={"PYTHONHASHSEED": "0"})


def needed(path: Path) -> list[str]:
    """Names of the shared libraries an ELF file asks for; none for other files."""
    with path.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            return []
    return re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "--dynamic", "--wide", path))


def library_folders(root: Path) -> Iterator[Path]:
    """Where the loader looks without a cache: the folders of the architecture, then the plain ones."""
    yield from sorted(path for path in (root / "usr/lib").glob("*-linux-gnu*") if path.is_dir())
    yield from (path for path in (root / "usr/lib", root / "usr/lib64") if path.is_dir())


def _merge_usr(source: Path) -> None:
    for name in ("bin", "lib", "lib64", "sbin"):
        folder = source / name
        if folder.is_dir() and not folder.is_symlink():
            shutil.copytree(folder, source / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(folder)
        if not folder.is_symlink():
            (source / "usr" / name).mkdir(exist_ok=True)
            folder.symlink_to(f"usr/{name}")


def python_version(source: Path) -> str:
    """The version of a tree's Python, as `3.11`."""
    version = (source / "usr/bin/python3").readlink().name.removeprefix("python")
    if tuple(int(part) for part in version.split(".")) < MINIMUM_PYTHON:
        raise DevclusterError(
            f"Python here is {version}, needed is 3.11: use Debian 12, Ubuntu 24.04 or newer"
        )
    return version


def _stdlib(source: Path, version: str) -> Iterator[str]:
    for path in sorted((source / f"usr/lib/python{version}").rglob("*")):
        inside = path.relative_to(source / f"usr/lib/python{version}")
        left_out = any(_matches(part, _STDLIB_LEFT_OUT) for part in inside.parts)
        if inside.parts[0] == "lib-dynload":
            left_out = _matches(inside.name, _EXTENSIONS_LEFT_OUT)
        if not left_out and not path.is_dir():
            yield str(path.relative_to(source))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _libraries(source: Path, chosen: set[str]) -> Iterator[str]:
    """The shared libraries that the chosen files load, directly or not."""
    folders = list(library_folders(source))
    waiting = [path for pattern in _LIBRARIES for folder in folders for path in folder.glob(pattern)]
    waiting += [source / name for name in chosen]
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        name = str(path.relative_to(source))
        if name not in chosen:
            yield name
        waiting += [_find(library, folders, path) for library in needed(_resolved(source, path))]


def _find(library: str, folders: list[Path], wanted_by: Path) -> Path:
    for folder in folders:
        if (folder / library).is_symlink() or (folder / library).is_file():
            return folder / library
    raise DevclusterError(f"{wanted_by}: needs {library}, which no unpacked package has")


def _resolved(source: Path, path: Path) -> Path:
    """The file behind links."""
    while path.is_symlink():
        path = _behind(source, path)
    return path


def _copy(source: Path, target: Path, name: str) -> None:
    """Copies a file, or a link and what it points to."""
    path = source / name
    copy = target / debian.merged(name)
    if copy.is_symlink() or copy.exists():
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, copy, follow_symlinks=False)
    if path.is_symlink():
        _copy(source, target, str(_behind(source, path).relative_to(source)))


def _behind(source: Path, link: Path) -> Path:
    """What a symbolic link points to, absolute targets taken within `source`."""
    to = link.readlink()
    return Path(os.path.normpath(source / to.relative_to("/") if to.is_absolute() else link.parent / to))


def _certificates(source: Path, target: Path) -> None:
    """What update-ca-certificates would make."""
    folder = source / "usr/share/ca-certificates/mozilla"
    bundle = b"".join(path.read_bytes() for path in sorted(folder.glob("*.crt")))
    if not bundle:
        raise DevclusterError(f"{folder} has no certificates")
    _write(target / "etc/ssl/certs/ca-certificates.crt", bundle.decode())
    (target / "usr/lib/ssl").mkdir(parents=True, exist_ok=True)
    (target / "usr/lib/ssl/certs").symlink_to("/etc/ssl/certs")


def _records(source: Path, target: Path) -> None:
    """Of each package that left something in the image: its record, where scanners look, and its licence."""
    facts = source / debian.PACKAGE_FACTS
    present = {str(path.relative_to(target)) for path in target.rglob("*")}
    for package, files in debian.packages_of(facts).items():
        if not files & present and package != "ca-certificates":
            continue
        _write(target / "var/lib/dpkg/status.d" / package, (facts / f"{package}.control").read_text())
        licence = f"usr/share/doc/{package}/copyright"
        if (source / licence).is_file():
            _write(target / licence, _resolved(source, source / licence).read_text())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
