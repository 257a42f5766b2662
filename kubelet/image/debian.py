"""Debian packages for the image: unpacked by mmdebstrap from this machine's own package sources."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from devcluster.errors import DevclusterError
from devcluster.shell import fetch

PACKAGES = ("ca-certificates", "libpython3-stdlib", "libstdc++6", "openssl", "python3-minimal")
PACKAGE_FACTS = "package-facts"
"""Folder in the unpacked tree: per package `<name>.control` and `<name>.files`."""

# Runs before mmdebstrap cleans up: which package holds which file is not known any more afterwards.
_HOOK = f"""
set -e
facts="$1/{PACKAGE_FACTS}"
mkdir "$facts"
for archive in "$1"/var/cache/apt/archives/*.deb; do
  name=$(dpkg-deb --field "$archive" Package)
  dpkg-deb --field "$archive" > "$facts/$name.control"
  dpkg-deb --fsys-tarfile "$archive" | tar --list > "$facts/$name.files"
done
"""


def os_release() -> dict[str, str]:
    """This machine's /etc/os-release."""
    lines = Path("/etc/os-release").read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name: value.strip().strip("\"'") for name, value in pairs}


def suite() -> str:
    """The release this machine runs, as `bookworm`: the image is made of the same one."""
    codename = os_release().get("VERSION_CODENAME", "")
    if not codename:
        raise DevclusterError(
            "/etc/os-release has no VERSION_CODENAME: the image is built on Debian or Ubuntu"
        )
    return codename


def sources(codename: str, folder: Path = Path("/etc/apt")) -> dict[str, str]:
    """This machine's package sources for a release: file name -> content, others' repositories left out."""
    suites = {codename, f"{codename}-updates", f"{codename}-security"}
    lines = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))]
    one_line = [line for path in lines if path.is_file() for line in _one_line(path.read_text(), suites)]
    paragraphs = [
        paragraph
        for path in sorted((folder / "sources.list.d").glob("*.sources"))
        for paragraph in _paragraphs(path.read_text(), suites)
    ]
    found: dict[str, str] = {}
    if one_line:
        found["host.list"] = "\n".join(one_line) + "\n"
    if paragraphs:
        found["host.sources"] = "\n\n".join(paragraphs) + "\n"
    return found


def _one_line(text: str, suites: set[str]) -> Iterator[str]:
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[[^]]*\]\s+)?\S+\s+(\S+)\s+(.*)", line.strip())
        if match and match[1] in suites and "main" in match[2].split():
            yield line.strip()


def _paragraphs(text: str, suites: set[str]) -> Iterator[str]:
    """The deb822 paragraphs that name one of the suites, narrowed to these."""
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line for line in paragraph.strip().splitlines() if not line.startswith("#")]
        pairs = (line.split(":", 1) for line in lines if ":" in line and not line[0].isspace())
        fields = {name.lower(): value.split() for name, value in pairs}
        wanted = [name for name in fields.get("suites", []) if name in suites]
        usable = "deb" in fields.get("types", []) and "main" in fields.get("components", [])
        if wanted and usable and fields.get("enabled") != ["no"]:
            narrowed = {"suites": f"Suites: {' '.join(wanted)}", "types": "Types: deb"}
            yield "\n".join(narrowed.get(line.split(":", 1)[0].lower(), line) for line in lines)


def unpack(
    codename: str,
    apt_sources: dict[str, str],
    target: Path,
    work: Path,
    packages: Sequence[str] = PACKAGES,
) -> None:
    """Unpacks packages and what they depend on into `target`; no maintainer script runs.

    Args:
        codename: The release.
        apt_sources: As `sources` gives them; empty for mmdebstrap's default mirror.
        target: A folder that does not exist yet; gets `PACKAGE_FACTS` as well.
        work: For scratch files.
        packages: Their names, the kubelet image's by default.
    """
    mirrors = []
    for name, content in apt_sources.items():
        (work / name).write_text(content)
        mirrors.append(work / name)
    (work / "hook").write_text(_HOOK)
    command = ["mmdebstrap", "--variant=extract", f"--include={','.join(packages)}", "--format=directory"]
    # It takes no folder with what an attempt that failed has left.
    anew: list[str | Path] = ["sh", "-c", 'rm -rf "$1" && shift && exec "$@"', "sh", target]
    fetch(*anew, *command, "--quiet", f'--extract-hook=sh {work / "hook"} "$1"', codename, target, *mirrors)


def packages_of(facts: Path) -> dict[str, set[str]]:
    """Package -> its files as paths without a leading slash, /usr merged."""
    packages = {}
    for path in sorted(facts.glob("*.files")):
        names = [name.removeprefix("./") for name in path.read_text().splitlines()]
        packages[path.stem] = {merged(name) for name in names if not name.endswith("/")}
    return packages


def merged(name: str) -> str:
    """The path as it is where /bin, /lib, /lib64 and /sbin are links into /usr."""
    return f"usr/{name}" if re.match(r"(bin|sbin|lib|lib32|lib64|libx32)/", name) else name
