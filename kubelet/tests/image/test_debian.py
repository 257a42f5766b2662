"""Which of a machine's package sources the image is made from."""

from pathlib import Path

import pytest

from kubelet.image import debian

DEB822 = """\
# comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://vendor.example/apt
Suites: vendor-bookworm
Components: main

Types: deb
Enabled: no
URIs: http://off.example/apt
Suites: bookworm
Components: main
"""
ONE_LINE = """\
# deb http://comment.example bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib
deb-src http://mirror.example/debian bookworm main
deb http://security.mirror.example/debian-security bookworm-security main
deb https://vendor.example/apt bookworm stable
deb https://postgres.example/apt bookworm-pgdg main
"""


def test_only_the_releases_own_sources_are_taken(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(ONE_LINE)
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    (tmp_path / "sources.list.d" / "off.list.disabled").write_text("deb http://x.example bookworm main\n")
    found = debian.sources("bookworm", tmp_path)
    assert found["host.list"].splitlines() == [
        "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib",
        "deb http://security.mirror.example/debian-security bookworm-security main",
    ]
    assert found["host.sources"] == (
        "Types: deb\n"
        "URIs: http://mirror.example/debian\n"
        "Suites: bookworm bookworm-updates\n"
        "Components: main contrib\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )


def test_no_sources_is_no_entry(tmp_path: Path) -> None:
    assert debian.sources("bookworm", tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "merged"),
    [("lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6"), ("etc/lib/a", "etc/lib/a")],
)
def test_paths_are_those_of_a_merged_usr(name: str, merged: str) -> None:
    assert debian.merged(name) == merged
