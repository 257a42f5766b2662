"""Programs on the real Pulumi engine, each stack with a backend and a home of its own."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

from pulumi import automation


def environment(folder: Path, kubeconfig: Path) -> dict[str, str]:
    """The engine's environment: state and settings below `folder`, plugins as the user has them.

    Args:
        folder: an empty one, which stacks share that refer to each other.
        kubeconfig: of the host.
    """
    backend, home = folder / "backend", folder / "home"
    backend.mkdir()
    home.mkdir()
    plugins = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi") / "plugins"
    if plugins.is_dir():
        (home / "plugins").symlink_to(plugins)
    return {
        "KUBECONFIG": str(kubeconfig),
        "PULUMI_BACKEND_URL": backend.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "of the test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_HOME": str(home),
    }


class Project:
    """A stack `it` of a program that a test writes, and may write anew between two deployments."""

    def __init__(self, folder: Path, name: str, variables: dict[str, str]) -> None:
        """Writes the project's file.

        Args:
            folder: where its folder is made.
            name: of the project.
            variables: as `environment` has them.
        """
        self.folder = folder / name
        self.folder.mkdir()
        self.reference = f"organization/{name}/it"
        # This process's own environment, with the library and all it needs.
        options = f"{{toolchain: pip, virtualenv: {sys.prefix}}}"
        text = f"name: {name}\nruntime: {{name: python, options: {options}}}\n"
        (self.folder / "Pulumi.yaml").write_text(text)
        self.write("")
        self.stack = automation.create_stack(
            "it",
            work_dir=str(self.folder),
            opts=automation.LocalWorkspaceOptions(env_vars=variables),
        )

    def write(self, program: str) -> None:
        """Makes this the program."""
        (self.folder / "__main__.py").write_text(program)

    def refusal(self, program: str) -> str:
        """What a preview of the program says that is refused."""
        self.write(program)
        try:
            self.stack.preview(color="never")
        except automation.CommandError as error:
            return str(error)
        raise AssertionError("the preview refused nothing")

    def failure(self, program: str) -> Failure:
        """What a deployment of the program says that fails, and how long what failed has taken."""
        self.write(program)
        failed = Failure()
        try:
            self.stack.up(on_event=failed.add, color="never")
        except automation.CommandError as error:
            failed.text = str(error)
            return failed
        raise AssertionError("the deployment did not fail")

    def changes(self, program: str) -> dict[str, int]:
        """How many resources a deployment of the program has created, updated, replaced and so on."""
        self.write(program)
        return self.stack.up(color="never").summary.resource_changes or {}


@dataclasses.dataclass
class Failure:
    """A deployment that has failed.

    Attributes:
        text: all that it printed.
        seconds: name of a resource that failed -> from the beginning of its operation to its end.
        operations: what was done to resources: `create`, `update`, `same`, `replace` and so on.
    """

    text: str = ""
    operations: set[str] = dataclasses.field(default_factory=set)
    seconds: dict[str, int] = dataclasses.field(default_factory=dict)
    _begun: dict[str, int] = dataclasses.field(default_factory=dict)

    def add(self, event: automation.EngineEvent) -> None:
        """Takes one event of the engine."""
        if event.resource_pre_event:
            self._begun[event.resource_pre_event.metadata.urn] = event.timestamp
            self.operations.add(str(event.resource_pre_event.metadata.op.value))
        elif event.res_op_failed_event:
            urn = event.res_op_failed_event.metadata.urn
            self.seconds[urn.rpartition("::")[2]] = event.timestamp - self._begun[urn]
