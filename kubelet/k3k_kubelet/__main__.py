"""The program `k3k-kubelet`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

USAGE = """\
usage: k3k-kubelet run --config FILE
       k3k-kubelet certificates --spec FILE [--watch]
       k3k-kubelet probe --open PORT --no-ingress PORT --no-egress PORT

  run            be the kubelet of a virtual cluster
  certificates   make the copies, certificates and kubeconfigs of a spec, and with --watch renew them
  probe          be one of the two pods that prove that NetworkPolicies are enforced
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a subcommand and returns the exit code."""
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or [""]
    if command == "certificates":
        from k3k_kubelet import certificates  # an init container: no HTTP client, no event loop

        return certificates.main(rest)
    if command == "probe":
        from k3k_kubelet import probe  # the standard library alone

        return probe.main(rest)
    if command == "run" and len(rest) == 2 and rest[0] == "--config":
        return _run(Path(rest[1]))
    help_wanted = command in ("-h", "--help")
    print(USAGE, end="", file=sys.stdout if help_wanted else sys.stderr)
    return 0 if help_wanted else 2


def _run(file: Path) -> int:
    from k3k_kubelet import config, log, run

    log.configure()
    try:
        return run.main(config.load(file))
    except config.ConfigError as error:
        print(f"k3k-kubelet: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
