"""The library in a program: its import, and a preview of many clusters beside the same raw resources.

    .venv/bin/python -m benchmarks.preview PROGRAM FILE COUNT

runs a program under Pulumi's mocks and prints its CPU seconds, its own imports included: `record` writes what
the library registers to FILE, `raw` and `typed` register that, from the file, `library` makes the clusters.

They have the same inputs, options and parents. `typed` has the classes of pulumi_kubernetes, as a program
without the library would. `raw` has one class for all of them and imports nothing but Pulumi: the least that
the same resources can cost. It is a class of its own, as only for these Pulumi looks for the line of the
program that they are from.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf import json_format  # type: ignore[import-untyped]
from pulumi.runtime import mocks, rpc, settings

from benchmarks.core import Table

ROOT = Path(__file__).resolve().parent.parent
CLUSTERS = 100
ROUNDS = 5
IMPORTS = 15
"""Runs of each program; the first one warms the page cache and is not counted."""
IMPORT_AIM, PREVIEW_AIM = 0.150, 1.1
_PROGRAMS = {
    "library": "library",
    "raw": "raw resources of one generic class",
    "typed": "raw resources of pulumi_kubernetes' classes",
}
"""Programs that are compared -> what they are called."""
_STACK = "pulumi:pulumi:Stack"

Registration = dict[str, Any]


class _Raw(pulumi.CustomResource):
    def __init__(self, type_: str, name: str, props: Mapping[str, Any], opts: pulumi.ResourceOptions) -> None:
        super().__init__(type_, name, props, opts)


class _RawComponent(pulumi.ComponentResource):
    def __init__(self, type_: str, name: str, props: Mapping[str, Any], opts: pulumi.ResourceOptions) -> None:
        super().__init__(type_, name, props, opts)
        self.register_outputs({})


def library(count: int) -> None:
    """The program with the library: clusters that differ by their names."""
    from k3k_pulumi import VirtualCluster, VirtualClusterArgs

    for index in range(count):
        VirtualCluster(f"c{index}", VirtualClusterArgs(namespace=f"team-{index}"))


def raw(recorded: Path) -> None:
    """The program without: what was recorded, body by body."""
    _without(recorded, lambda each: _Raw if each["custom"] else _RawComponent)


def typed(recorded: Path) -> None:
    """The same with the classes of the SDKs."""

    def made_by(each: Registration) -> Callable[..., pulumi.Resource]:
        if not each["custom"]:
            return _RawComponent
        cls = _class_of(each["type"])
        return lambda _, name, props, opts: cls(name, opts=opts, **{_snake(key): props[key] for key in props})

    _without(recorded, made_by)


def _without(recorded: Path, made_by: Callable[[Registration], Callable[..., pulumi.Resource]]) -> None:
    made: dict[str, pulumi.Resource] = {}
    for each in json.loads(recorded.read_text()):
        opts = pulumi.ResourceOptions(
            parent=made.get(each["parent"]),
            depends_on=[made[urn] for urn in each["dependencies"] if urn in made],
            deleted_with=made.get(each["deletedWith"]),
            ignore_changes=each["ignoreChanges"] or None,
            additional_secret_outputs=each["additionalSecretOutputs"] or None,
            version=each["version"] or None,
        )
        made[each["urn"]] = made_by(each)(each["type"], each["name"], _revealed(each["inputs"]), opts)


def _class_of(token: str) -> Callable[..., pulumi.Resource]:
    """The class of a type: `kubernetes:apps/v1:Deployment` is pulumi_kubernetes.apps.v1.Deployment."""
    package, module, name = token.split(":")
    if package == "pulumi":
        return pulumi.Stash
    group, version = module.split("/")
    module = f"pulumi_kubernetes.{group.partition('.')[0]}.{version}"
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]


def _snake(key: str) -> str:
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", key)


class _Monitor(mocks.MockMonitor):
    """Keeps what it is asked to register, in the order in which it is asked."""

    def __init__(self, host: mocks.Mocks) -> None:
        super().__init__(host)
        self.registrations: list[Registration] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the name of the engine's call
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != _STACK:
            options = ("parent", "deletedWith", "version", "type", "name", "custom")
            lists = ("dependencies", "ignoreChanges", "additionalSecretOutputs")
            self.registrations.append(
                {
                    "urn": answer.urn,
                    "inputs": json_format.MessageToDict(request.object),
                    **{option: getattr(request, option) for option in options},
                    **{option: list(getattr(request, option)) for option in lists},
                }
            )
        return answer


class _Host(mocks.Mocks):
    """Answers with the inputs, and as a Stash with its first value."""

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], None]:
        raise RuntimeError(f"no program here calls {args.token}")

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        is_stash = args.typ == "pulumi:index:Stash"
        return None, {**args.inputs, "output": args.inputs["input"]} if is_stash else dict(args.inputs)


def run_under_mocks(program: Callable[[], None], *, record: bool = False) -> tuple[float, list[Registration]]:
    """CPU seconds of a program's preview, and what it registered if that is to be recorded."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    host = _Host()
    monitor = _Monitor(host) if record else mocks.MockMonitor(host)
    pulumi.runtime.set_mocks(host, project="bench", stack="bench", preview=True, monitor=monitor)

    async def nothing() -> None:
        return None

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def main() -> Any:
        program()
        return nothing()

    begun = time.process_time()
    try:
        main()
    finally:
        settings.reset_options()
    return time.process_time() - begun, getattr(monitor, "registrations", [])


def import_table(runs: int = IMPORTS) -> Table:
    """What `import k3k_pulumi` adds to `import pulumi`, and when the first cluster is there."""
    programs = {
        "import pulumi": "import pulumi",
        "from k3k_pulumi import VirtualCluster, VirtualClusterArgs": (
            "import pulumi\nfrom k3k_pulumi import VirtualCluster, VirtualClusterArgs"
        ),
        "the same, and a first cluster's specification, keys and objects": (
            "import pulumi\nfrom k3k_pulumi import VirtualCluster, VirtualClusterArgs\n"
            "from k3k_pulumi import manifests, model, stash, pki\n"
            "spec = model.VirtualClusterSpec.parse('c', {'namespace': 'team'})\n"
            "manifests.virtual_cluster(spec, pki.create_pki('c'))"
        ),
        "import pulumi, pulumi_kubernetes.core.v1": "import pulumi, pulumi_kubernetes.core.v1",
    }
    taken: dict[str, list[float]] = {title: [] for title in programs}
    for _ in range(runs + 1):
        for title, program in programs.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
            taken[title].append(time.perf_counter() - begun)
    base = taken["import pulumi"][1:]
    rows: list[tuple[str, ...]] = []
    for title, seconds in taken.items():
        more = statistics.median(one - other for one, other in zip(seconds[1:], base, strict=True))
        aim = f"<= {IMPORT_AIM * 1000:.0f} ms" if title.startswith("from") else ""
        added = f"{more * 1000:.0f} ms" if seconds[1:] != base else ""
        rows.append((title, f"{statistics.median(seconds[1:]) * 1000:.0f} ms", added, aim))
    note = f"Medians of {runs} processes of each, in turns; what is added, process by process."
    return Table("Import", ("process", "takes", "more than `import pulumi`", "aim"), rows, (note,))


def mocks_table(clusters: int = CLUSTERS, rounds: int = ROUNDS) -> Table:
    """CPU time of a preview under mocks, of the library and of raw resources."""
    with tempfile.TemporaryDirectory() as folder:
        recorded = Path(folder) / "recorded.json"
        count = int(_child("record", recorded, clusters))

        def seconds(program: str) -> float:
            return _child(program, recorded, clusters)

        taken = _in_turns(seconds, rounds)
    return _preview_table(
        f"Preview of {clusters} clusters under mocks", taken, count, "CPU seconds of the program"
    )


def engine_table(clusters: int = CLUSTERS, rounds: int = ROUNDS) -> Table | None:
    """Time of `pulumi preview`, of the library and of raw resources; None where there is no engine.

    The host is none: a preview asks nobody then, and the provider answers at once.
    """
    if not (shutil.which("pulumi") and shutil.which("pulumi-resource-kubernetes")):
        return None
    with tempfile.TemporaryDirectory() as folder, _projects(Path(folder), clusters) as (count, preview):
        taken = _in_turns(preview, rounds)
    title = f"Preview of {clusters} clusters on the engine"
    return _preview_table(title, taken, count, "seconds of `pulumi preview`, on a host that does not answer")


def _in_turns(seconds: Callable[[str], float], rounds: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {program: [] for program in _PROGRAMS}
    for _ in range(rounds):
        for program, values in taken.items():
            values.append(seconds(program))
    return taken


def _preview_table(title: str, taken: Mapping[str, Sequence[float]], count: int, what: str) -> Table:
    def ratio(program: str) -> str:
        pairs = zip(taken["library"], taken[program], strict=True)
        return f"{statistics.median(one / other for one, other in pairs):.2f}"

    rows: list[tuple[str, ...]] = [
        (title, f"{statistics.median(taken[program]):.1f} s", "") for program, title in _PROGRAMS.items()
    ]
    rows += [
        ("library / generic", ratio("raw"), ""),
        ("library / pulumi_kubernetes", ratio("typed"), f"<= {PREVIEW_AIM}"),
    ]
    note = f"{count:,} resources; medians of {len(taken['raw'])} runs of each, in turns: {what}."
    return Table(title, ("", "takes", "aim"), rows, (note,))


def _child(program: str, recorded: Path, clusters: int) -> float:
    command = [sys.executable, "-m", "benchmarks.preview", program, str(recorded), str(clusters)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout)


@contextmanager
def _projects(folder: Path, clusters: int) -> Iterator[tuple[int, Callable[[str], float]]]:
    """The two programs as projects of a backend of their own: resources of each, and how one is previewed."""
    recorded = folder / "recorded.json"
    count = int(_child("record", recorded, clusters))
    file = f"pathlib.Path({str(recorded)!r})"
    calls = {"library": f"library({clusters})", "raw": f"raw({file})", "typed": f"typed({file})"}
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(_nowhere()))
    (folder / "backend").mkdir()
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "PYTHONPATH": str(ROOT),
        "PULUMI_BACKEND_URL": (folder / "backend").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "bench",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }

    def pulumi_cli(program: str, *command: str) -> None:
        subprocess.run(
            ["pulumi", "--non-interactive", *command],
            cwd=folder / program, env=environment, check=True, capture_output=True,
        )  # fmt: skip

    for program, call in calls.items():
        project = folder / program
        project.mkdir()
        options = f"{{toolchain: pip, virtualenv: {sys.prefix}}}"
        (project / "Pulumi.yaml").write_text(
            f"name: {program}\nruntime: {{name: python, options: {options}}}\n"
        )
        (project / "__main__.py").write_text(f"import pathlib\nfrom benchmarks.preview import *\n\n{call}\n")
        pulumi_cli(program, "stack", "init", "bench")

    def preview(program: str) -> float:
        begun = time.perf_counter()
        pulumi_cli(program, "preview", "--stack", "bench", "--suppress-progress", "--show-reads")
        return time.perf_counter() - begun

    yield count, preview


def _nowhere() -> dict[str, Any]:
    """A kubeconfig whose host refuses connections."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "nowhere", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "nobody", "user": {"token": "none"}}],
        "contexts": [{"name": "nowhere", "context": {"cluster": "nowhere", "user": "nobody"}}],
        "current-context": "nowhere",
    }


def _revealed(value: Any) -> Any:
    """Recorded inputs, with secrets as Outputs."""
    if isinstance(value, dict):
        if rpc._special_sig_key in value:  # noqa: SLF001 - how the protocol marks a secret
            return pulumi.Output.secret(value["value"])
        return {key: _revealed(item) for key, item in value.items()}
    return [_revealed(item) for item in value] if isinstance(value, list) else value


def main() -> None:
    """One program, as the module's docstring says."""
    program, file, count = sys.argv[1:]
    recorded = Path(file)
    without = {"raw": raw, "typed": typed}
    if program == "record":
        _, registrations = run_under_mocks(lambda: library(int(count)), record=True)
        recorded.write_text(json.dumps(_parents_first(registrations)))
        print(len(registrations))
    elif program in without:
        print(run_under_mocks(lambda: without[program](recorded))[0])
    else:
        print(run_under_mocks(lambda: library(int(count)))[0])


def _parents_first(registrations: list[Registration]) -> list[Registration]:
    """In an order in which each comes after those it names."""
    left, known, ordered = registrations, set[str](), list[Registration]()
    urns = {each["urn"] for each in registrations}
    while left:
        ready = [each for each in left if _named(each) & urns <= known]
        known |= {each["urn"] for each in ready}
        ordered += ready
        left = [each for each in left if each["urn"] not in known]
    return ordered


def _named(registration: Registration) -> set[str]:
    return {*registration["dependencies"], registration["parent"], registration["deletedWith"]}


if __name__ == "__main__":
    main()
