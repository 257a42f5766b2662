"""What the tests of a life's steps share: the stack, its clusters, and the table of the docs."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulumi import automation

from tests import parts
from tests.e2e.support.clusters import variant
from tests.e2e.support.engine import Project
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.operations import Operations
from tests.run import ROOT

PAGE = ROOT / "docs/pulumi.md"
PROGRAM = Path(__file__).with_name("lifecycle_program.py")
COLUMNS = ("create", "update", "replace", "delete")
HEAD = f"| step | {' | '.join(COLUMNS)} |"
KEYS = ("a", "b")
ANYWHERE = {"source_cidrs": ["0.0.0.0/0"]}
_EVERYTHING = "everything"
_KINDS_INSIDE = ("namespaces", "configmaps", "deployments", "pods")


def documented() -> dict[str, dict[str, str]]:
    """The table of the docs: step -> operation -> the cell."""
    lines = PAGE.read_text().partition(HEAD + "\n")[2].splitlines()
    rows = {}
    for line in lines[1:]:  # the first one is the rule below the head
        if not line.startswith("|"):
            break
        step, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        rows[step] = dict(zip(COLUMNS, cells, strict=True))
    return rows


def older_library(folder: Path) -> Path:
    """A folder with the library of an earlier commit, for PYTHONPATH."""
    command = ["git", "-C", str(ROOT), "archive", parts.OLDER_COMMIT, "k3k_pulumi"]
    archive = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


@dataclass
class Life:
    """The stack whose steps the tests take one after the other.

    Attributes:
        project: of the program.
        given: what the program reads; a step changes it.
        host: kubectl on the host.
        folder: for kubeconfigs.
        environment: of the engine and the program.
    """

    project: Project
    given: dict[str, Any]
    host: Kubectl
    folder: Path
    environment: dict[str, str]

    @classmethod
    def begin(cls, folder: Path, variables: dict[str, str], host: Kubectl, prefix: str) -> Life:
        """The stack before its first deployment.

        Args:
            folder: for the project and kubeconfigs.
            variables: the engine's environment.
            host: kubectl on the host.
            prefix: of all names that have to be unique there.
        """
        # The second one has the other distribution where its image is at hand.
        other = "k3s" if parts.missing("needs_k3s_image") is None else "kubernetes"
        clusters = {
            key: {"name": key, "args": {**variant(distribution), "expose": ANYWHERE}}
            for key, distribution in (("a", "kubernetes"), ("b", other))
        }
        given = {
            "prefix": prefix,
            "policy": {},
            "clusters": clusters,
            "settings": {"n": "1"},
            "annotations": {},
        }
        project = Project(folder, "life", variables)
        project.write(PROGRAM.read_text())
        return cls(project, given, host, folder, project.stack.workspace.env_vars)

    def args(self, key: str) -> dict[str, Any]:
        """The arguments of a cluster beyond those that both have."""
        found: dict[str, Any] = self.given["clusters"][key]["args"]
        return found

    def control_plane(self, key: str) -> Kubectl:
        """The namespace of a cluster's control plane on the host."""
        return self.host.within(f"{self.given['prefix']}-team-{key}-{key}-control-plane")

    def up(self, **options: Any) -> tuple[Operations, automation.UpResult]:
        """Deploys the program with what it is given now."""
        operations = Operations()
        self._give()
        result = self.project.stack.up(on_event=operations, color="never", **options)
        for key in self.given["clusters"]:
            self.kubeconfig(key).write_text(result.outputs[key].value)
        return operations, result

    def preview(self, **options: Any) -> Operations:
        """What a deployment would do."""
        operations = Operations()
        self._give()
        self.project.stack.preview(on_event=operations, color="never", **options)
        return operations

    def refresh(self) -> Operations:
        """Reads everything anew; nothing may be dropped from the state."""
        for key in KEYS:
            # One that is not available for a moment would be noted as a failed deployment.
            self.control_plane(key)(
                "wait", "--for=condition=Available", "deployment", "--all", "--timeout=60s"
            )
        operations, before = Operations(), set(self.resources())
        self.project.stack.refresh(on_event=operations, color="never")
        assert set(self.resources()) == before
        return operations

    def destroy(self) -> Operations:
        """Deletes everything."""
        operations = Operations()
        self.project.stack.destroy(on_event=operations, color="never")
        return operations

    def resources(self) -> dict[str, Any]:
        """The resources of the stack's state, by their URNs."""
        exported: Any = self.project.stack.export_stack().deployment
        return {each["urn"]: each for each in exported.get("resources", ())}

    def inside(self, key: str) -> Kubectl:
        """A cluster's namespace `web`, as the last deployment's kubeconfig reaches it."""
        return Kubectl(self.kubeconfig(key), "web")

    def identities(self) -> dict[str, str]:
        """uids of what the tenants have, pods too: who is replaced gets another one."""
        return {
            f"{key} {each['kind']} {each['metadata']['name']}": each["metadata"]["uid"]
            for key in KEYS
            for kind in _KINDS_INSIDE
            for each in self.inside(key).get(kind)
            if each["kind"] != "Namespace" or each["metadata"]["name"] == "web"
        }

    def kubeconfig(self, key: str) -> Path:
        """File of the kubeconfig that the last deployment gave."""
        return self.folder / f"{key}.kubeconfig"

    def row(self, operations: Operations) -> dict[str, str]:
        """What an operation did, as the docs' table says it."""
        if len(operations.of) == 1 and not operations.same:
            return {each: _EVERYTHING if each in operations.of else "" for each in COLUMNS}
        unknown = set(operations.of) - set(COLUMNS)
        assert not unknown, f"operations that the table has no column for: {unknown}"
        return {each: self._cell(operations.of.get(each, ())) for each in COLUMNS}

    def _cell(self, resources: Iterable[str]) -> str:
        return ", ".join(sorted(each.replace(f"{self.given['prefix']}-", "") for each in resources))

    def _give(self) -> None:
        (self.project.folder / "given.json").write_text(json.dumps(self.given))
