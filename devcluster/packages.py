"""Programs that nodes need from the machine, installed from Debian's or Ubuntu's archive when missing."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from devcluster import shell
from devcluster.errors import DevclusterError
from devcluster.locks import locked
from devcluster.progress import Progress


@dataclass(frozen=True)
class Needed:
    """A file that shows that `package` is there: a program's name or an absolute path."""

    package: str
    file: str

    @property
    def there(self) -> bool:
        """Whether the machine has it, wherever it came from."""
        if self.file.startswith("/"):
            return Path(self.file).exists()
        return shutil.which(self.file, path=SEARCH) is not None


SEARCH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
NODE = [
    Needed("ca-certificates", "/etc/ssl/certs/ca-certificates.crt"),
    Needed("conntrack", "conntrack"),  # kube-proxy clears stale UDP flows
    Needed("containernetworking-plugins", "/usr/lib/cni/ptp"),
    Needed("iproute2", "ip"),
    Needed("ipset", "ipset"),
    Needed("iptables", "iptables"),  # kube-proxy
    Needed("nftables", "nft"),  # NetworkPolicies, masquerading
    Needed("procps", "sysctl"),
    Needed("runc", "runc"),
    Needed("socat", "socat"),
    Needed("util-linux", "unshare"),
]
CONTAINERD = [Needed("containerd", "containerd"), Needed("containerd", "ctr")]


def missing(needed: list[Needed]) -> list[str]:
    """Names of the packages whose files are not there, without duplicates."""
    return sorted({each.package for each in needed if not each.there})


def ensure(needed: list[Needed], progress: Progress) -> None:
    """Installs the packages that are missing.

    Raises:
        DevclusterError: This is not root, or not a Debian or Ubuntu machine, or the installation failed.
    """
    packages = missing(needed)
    if not packages:
        return
    wanted = " ".join(packages)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        why = "this is not root" if os.geteuid() else "there is no apt-get here"
        raise DevclusterError(
            f"nodes need {wanted}, and {why}; install what these Debian packages hold and try again"
        )
    with locked("packages"), progress.step(f"System packages: {wanted}"):
        # dpkg-divert and policy-rc.d are left alone: none of these starts a service but containerd, which
        # is only installed where it could not be built.
        environment = {"DEBIAN_FRONTEND": "noninteractive"}
        # Somebody else's apt (unattended upgrades) is waited for.
        install = [
            "apt-get",
            "install",
            "--option=DPkg::Lock::Timeout=300",
            "--yes",
            "--quiet",
            "--no-install-recommends",
            *packages,
        ]
        if shell.attempt(*install, env=environment).returncode:
            shell.fetch("apt-get", "update", "--quiet", env=environment)  # package lists missing or old
            shell.fetch(*install, env=environment)
    still = missing(needed)
    if still:
        raise DevclusterError(
            f"after installing {wanted} the files of {', '.join(still)} are still not there"
        )


def unpacked(package: str, name: str, folder: Path) -> Path:
    """A file of a Debian package that is not to be installed, only unpacked.

    Args:
        package: The package.
        name: The file's name, wherever in the package it lies.
        folder: Where to keep it.

    Returns:
        Path of the file.
    """
    home = folder / package
    with locked("packages"):
        if not home.exists():
            with tempfile.TemporaryDirectory(dir=_made(folder), prefix=".") as scratch:
                if shell.attempt("apt-get", "download", package, cwd=Path(scratch)).returncode:
                    shell.fetch("apt-get", "update", "--quiet")
                    shell.fetch("apt-get", "download", package, cwd=Path(scratch))
                (archive,) = Path(scratch).glob("*.deb")
                shell.run("dpkg-deb", "--extract", archive, Path(scratch, "content"))
                Path(scratch, "content").rename(home)
    return next(path for path in sorted(home.rglob(name)) if path.is_file() and not path.is_symlink())


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
