"""Programs in other languages than Python, with the component provider of this repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from pulumi import automation

from tests.run import ROOT

TIMEOUT = 240  # seconds for one program of npm's or the engine's
_SDK = "sdks/k3k-pulumi-k3k-pulumi"


class Project:
    """The example of one language, in a folder where a test may write another program.

    Attributes:
        stack: the stack `it`.
    """

    def __init__(self, language: str, folder: Path, variables: dict[str, str]) -> None:
        """Lays the project out.

        Args:
            language: `yaml` or `typescript`.
            folder: where it is made, with the component provider at its place beside.
            variables: the engine's environment.
        """
        self._language, self._folder = language, folder / "examples" / language
        shutil.copytree(ROOT / "examples" / language, self._folder)
        shutil.copytree(ROOT / "provider", folder / "provider", ignore=shutil.ignore_patterns("venv"))
        # This process's own environment in place of one that would be installed.
        plugin = folder / "provider/PulumiPlugin.yaml"
        settings = yaml.safe_load(plugin.read_text())
        settings["runtime"]["options"]["virtualenv"] = sys.prefix
        plugin.write_text(yaml.safe_dump(settings))
        if language == "typescript":
            self._add_package({**os.environ, **variables})
        options = automation.LocalWorkspaceOptions(env_vars=variables)
        self.stack = automation.create_stack("it", work_dir=str(self._folder), opts=options)

    def write(self, args: dict[str, Any], policy: dict[str, Any] | None = None) -> None:
        """Makes the program one of a VirtualCluster `c`, and of a VirtualClusterPolicy `p` that it is under.

        Args:
            args: of the cluster, as the schema names them.
            policy: of the policy.
        """
        if self._language == "yaml":
            self._write_yaml(args, policy)
        else:
            self._write_typescript(args, policy)

    def refusal(self) -> str:
        """What a preview says that is refused."""
        try:
            self.stack.preview(color="never")
        except automation.CommandError as error:
            return str(error)
        raise AssertionError("the preview refused nothing")

    def _write_yaml(self, args: dict[str, Any], policy: dict[str, Any] | None) -> None:
        file = self._folder / "Pulumi.yaml"
        program = yaml.safe_load(file.read_text())
        resources = {"c": {"type": "k3k-pulumi:VirtualCluster", "properties": dict(args)}}
        if policy is not None:
            resources["p"] = {"type": "k3k-pulumi:VirtualClusterPolicy", "properties": policy}
            resources["c"]["properties"]["policy"] = "${p.constraints}"  # type: ignore[index]
        program.update(resources=resources, outputs={})
        file.write_text(yaml.safe_dump(program))

    def _write_typescript(self, args: dict[str, Any], policy: dict[str, Any] | None) -> None:
        lines = ['import * as k3k from "@k3k-pulumi/k3k-pulumi";']
        late = ""
        if policy is not None:
            lines.append(f'const p = new k3k.VirtualClusterPolicy("p", {json.dumps(policy)});')
            late = ", policy: p.constraints"
        # What the type checker would refuse is to be refused without it as well.
        lines.append(f"const args: any = {json.dumps(args)};")
        lines.append(f'new k3k.VirtualCluster("c", {{ ...args{late} }});')
        (self._folder / "index.ts").write_text("\n".join(lines))

    def _add_package(self, variables: dict[str, str]) -> None:
        """What `pulumi package add` does, without an environment for the plugin."""
        schema = self._folder.parents[1] / "provider/schema.json"
        made = self._folder / "made"
        generate = ["pulumi", "package", "gen-sdk", str(schema), "--language", "nodejs", "--local"]
        self._run(*generate, "--out", str(made), variables=variables)
        sdk = self._folder / _SDK
        sdk.parent.mkdir()
        (made / "nodejs").rename(sdk)
        # Scripts of other packages fetch plugins, which are at hand.
        self._run("npm", "ci", "--ignore-scripts", variables=variables)
        self._run("npm", "run", "postinstall", "--prefix", _SDK, variables=variables)

    def _run(self, *command: str, variables: dict[str, str]) -> None:
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
