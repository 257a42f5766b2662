"""The demo's way with the Pulumi engine: the quickstart program through the Automation API."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pulumi import automation

from devcluster.progress import Progress

ROOT = Path(__file__).resolve().parent.parent
STACK = "demo"
PLUGIN_TIMEOUT = 120  # seconds to fetch the kubernetes plugin


class EngineError(RuntimeError):
    """The engine failed; the text is what it said."""


def missing(progress: Progress) -> str:
    """Why the engine cannot be used here; empty when it can. Fetches what can be fetched."""
    if not shutil.which("pulumi"):
        with progress.step("Pulumi engine: fetch") as step:
            try:
                command = automation.PulumiCommand.install()
            except Exception as error:
                step.result = "not to be had here"
                return f"no pulumi CLI on PATH, and its installer failed: {_first_line(str(error))}"
            os.environ["PATH"] = f"{Path(command.command).parent}{os.pathsep}{os.environ['PATH']}"
    if shutil.which("pulumi-resource-kubernetes"):
        return ""
    version = importlib.metadata.version("pulumi-kubernetes")
    with progress.step(f"Pulumi's kubernetes plugin {version}"):
        done = subprocess.run(
            ["pulumi", "plugin", "install", "resource", "kubernetes", version],
            capture_output=True, text=True, check=False, timeout=PLUGIN_TIMEOUT,
        )  # fmt: skip
    return f"no kubernetes plugin: {_first_line(done.stderr)}" if done.returncode else ""


def up(progress: Progress, host: Path, settings: Mapping[str, str]) -> str:
    """`pulumi up` of the quickstart on that host; the virtual cluster's kubeconfig.

    Args:
        progress: Shows each resource as it is made.
        host: The host's kubeconfig; the stack's state lies beside it.
        settings: The quickstart's configuration: a path such as `sourceCidrs[0]` -> its value.

    Raises:
        EngineError: With the engine's own words.
    """
    _backend(host).mkdir(exist_ok=True)
    with progress.step("pulumi up") as step:
        try:
            stack = _stack(host)
            for path, value in settings.items():
                stack.set_config(path, automation.ConfigValue(value), path=True)
            result = stack.up(on_output=lambda line: step.note(line.strip()), color="never")
        except automation.CommandError as error:
            raise EngineError(str(error)) from error
        changes = result.summary.resource_changes or {}
        step.result = ", ".join(f"{count} {kind}" for kind, count in changes.items())
    return str(result.outputs["kubeconfig"].value)


def has_stack(host: Path) -> bool:
    """Whether the demo's virtual cluster was made by the engine."""
    return _backend(host).exists()


def down(progress: Progress, host: Path) -> None:
    """`pulumi destroy` of what `up` made.

    Raises:
        EngineError: With the engine's own words.
    """
    with progress.step("pulumi destroy") as step:
        try:
            _stack(host).destroy(on_output=lambda line: step.note(line.strip()), color="never")
        except automation.CommandError as error:
            raise EngineError(str(error)) from error
    shutil.rmtree(_backend(host))


def _stack(host: Path) -> automation.Stack:
    environment = {
        "KUBECONFIG": str(host),
        "PULUMI_BACKEND_URL": f"file://{_backend(host)}",
        "PULUMI_CONFIG_PASSPHRASE": "",  # the demo's keys are as short-lived as its host
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    options = automation.LocalWorkspaceOptions(env_vars=environment)
    return automation.create_or_select_stack(STACK, work_dir=str(ROOT), opts=options)


def _backend(host: Path) -> Path:
    return host.with_name("pulumi")


def _first_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip()), "no reason given")
