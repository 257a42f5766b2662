"""What releases registered, and what a later version must not do to it.

    python -m tests.components.recorded

writes the registrations of this version: part of each release, and of nothing else. It writes nothing where
this version would break what is recorded already: that wants an alias, or the old value.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from k3k_pulumi.manifests.policy import namespace_fields
from k3k_pulumi.model import VirtualClusterPolicySpec
from k3k_pulumi.model.versions import LIBRARY
from tests.components.host import run
from tests.components.plan import Resource, plan, resources
from tests.components.programs import HERE, PROGRAMS, RULES

FOLDER = Path(__file__).parent / "registrations"
KEPT = (
    "Namespace",
    "PersistentVolumeClaim",
    "Secret",
    "SecretPatch",
    "StatefulSet",
    "Stash",
    "VirtualCluster",
    "VirtualClusterInside",
)
"""Kinds of which no resource may ever end in an upgrade: data, keys, and what everything inside hangs on."""


def releases() -> list[str]:
    """The versions whose registrations are there."""
    return sorted(path.name for path in FOLDER.iterdir())


def registrations(release: str, program: str) -> list[Resource]:
    """What a release registered for a program."""
    return [Resource(**each) for each in json.loads((FOLDER / release / f"{program}.json").read_text())]


def today(program: str) -> list[Resource]:
    """What this version registers for a program."""

    def main() -> dict[str, object]:
        PROGRAMS[program]()
        return {}

    # Of two first deployments with other keys each, so that no key is in it.
    first, second = (run(main, preview=False, namespaces=namespaces()) for _ in range(2))
    return resources(first, second)


def namespaces() -> dict[str, object]:
    """The host's Namespaces, one of which a policy is bound to."""
    spec = VirtualClusterPolicySpec.parse("p", {"namespaces": ["other"], **RULES})
    return {**HERE, "other": namespace_fields(spec, "other")["metadata"]}


def harm(before: Iterable[Resource], after: Iterable[Resource]) -> list[str]:
    """What an upgrade would do that no upgrade may, a line each."""
    lines = []
    for step in plan(before, after):
        about = f"{step.resource.type} {step.resource.name!r}"
        is_kept = step.resource.kind in KEPT or step.resource.type.startswith("pulumi:providers:")
        if step.op == "replace" and step.resource.kind != "Job":
            lines.append(f"{about} would be replaced: {', '.join(step.paths) or 'its trigger is new'}")
        elif step.op == "delete" and is_kept:
            lines.append(f"{about} would be deleted: give what has taken its place an alias")
        elif step.before and set(step.before.ignores) - set(step.resource.ignores):
            lines.append(f"{about} would no longer ignore changes of {step.before.ignores}")
    return lines


def main() -> int:
    """Writes the registrations of this version; the exit code."""
    made = {program: today(program) for program in PROGRAMS}
    found = [
        f"{release} {program}: {line}"
        for release in releases()
        for program in PROGRAMS
        if (FOLDER / release / f"{program}.json").exists()
        for line in harm(registrations(release, program), made[program])
    ]
    if found:
        print(*found, "nothing was written", sep="\n", file=sys.stderr)
        return 1
    (FOLDER / LIBRARY).mkdir(parents=True, exist_ok=True)
    for program, registered in made.items():
        lines = ",\n".join(json.dumps(each.as_json(), sort_keys=True) for each in registered)
        (FOLDER / LIBRARY / f"{program}.json").write_text(f"[\n{lines}\n]\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
