"""`make bench`: everything that is said about speed and size, measured here, inside beside the bare host.

    make bench                                              # all, on a dev cluster of its own
    .venv/bin/python benchmarks/run.py latency exec         # some, printed only
    .venv/bin/python benchmarks/run.py --kubeconfig F ...   # on a cluster that is there

All of them together go into docs/benchmarks.md.

An existing cluster has to share this machine's kernel: the virtual kubelet's memory is read from /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import platform
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(
    0, str(ROOT)
)  # benchmarks and devcluster are tools of this repository, not installed packages

from k3k_kubelet.api import PODS, ApiClient  # noqa: E402

from benchmarks import burst, clusters, dns, latency, memory, preview, services, simulated, throughput  # noqa: E402
from benchmarks.core import (  # noqa: E402
    Table,
    Timeline,
    connect,
    delete_namespace,
    delete_pods,
    make_namespace,
)
from benchmarks.process import Process, of_container  # noqa: E402
from devcluster import config  # noqa: E402
from devcluster.errors import DevclusterError  # noqa: E402
from devcluster.progress import Progress  # noqa: E402
from devcluster.shell import own  # noqa: E402
from k3k_pulumi import direct  # noqa: E402
from kubelet.image import build  # noqa: E402

HOST = "bench"  # the dev cluster's name
PAGE = ROOT / "docs" / "benchmarks.md"
MARK = "<!-- Below: written by `make bench`. -->\n"
BARE, INSIDE = "bench-bare", "load"  # namespaces of the pods
IDLE_SECONDS = 20
ON_HOST = ("latency", "exec", "services", "dns", "burst")
"""Figures for which pods of a virtual cluster and bare ones run on the same host."""
OF_PROGRAMS = ("import", "preview")
"""Figures for which no host is needed."""
FIGURES = ("clusters", *ON_HOST, "memory", *OF_PROGRAMS)


@dataclass(frozen=True)
class Sides:
    """A virtual cluster and its host.

    Attributes:
        host: Client of the host.
        kubeconfigs: Of the host and of the virtual cluster.
        bare: Watches the bare pods.
        copies: Watches the host's pods of the virtual cluster.
        inside: Watches the pods inside.
        kubelet: The virtual kubelet's process.
    """

    host: ApiClient
    kubeconfigs: tuple[Path, Path]
    bare: Timeline
    copies: Timeline
    inside: Timeline
    kubelet: Process


def main() -> int:
    """Measures, prints, and with all figures writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "figures", nargs="*", choices=[*FIGURES, []], help=f"of {', '.join(FIGURES)}; all by default"
    )
    parser.add_argument("--kubeconfig", type=Path, help="of an existing host; a dev cluster by default")
    parser.add_argument("--rounds", type=int, default=2, help="virtual clusters of each distribution")
    parser.add_argument("--pods", type=int, default=120, help="pods on each side for the latency")
    parser.add_argument("--burst", type=int, default=500, help="pods of the burst")
    options = parser.parse_args()
    progress = Progress()
    try:
        tables = measure(progress, options)
    except DevclusterError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if not options.figures:
        write("\n".join(table.markdown() for table in tables), progress.elapsed)
    return 0


class Tables(list[Table]):
    """Tables that are printed as they come: what fails later does not take them along."""

    def append(self, table: Table) -> None:
        """One more."""
        print(table.markdown(), flush=True)
        super().append(table)


def measure(progress: Progress, options: argparse.Namespace) -> list[Table]:
    """The tables of the figures that were asked for."""
    wanted = options.figures or FIGURES
    tables = Tables()
    sizes: dict[int, float] = {}
    if set(wanted) - {"memory", *OF_PROGRAMS} or options.kubeconfig:
        with _host(options.kubeconfig) as host:
            if "clusters" in wanted:
                tables.append(clusters.table(clusters.measure_all(progress, host, options.rounds)))
            if set(wanted) & set(ON_HOST):
                on_host(progress, host, wanted, options, tables, sizes)
    if "memory" in wanted:
        with progress.step("2,000 pods on a simulated host") as step:
            simulation = simulated.memory(memory.COUNTS, lambda count: step.note(f"{count} pods"))
        with progress.step(f"{memory.SERVICES:,} Services on a simulated host"):
            with_services = simulated.memory_with_services(memory.SERVICES)
        tables.append(memory.table(sizes, simulation, with_services))
    of_programs(progress, wanted, tables)
    return tables


def of_programs(progress: Progress, wanted: Sequence[str], tables: Tables) -> None:
    """What the library costs in a Pulumi program."""
    if "import" in wanted:
        with progress.step("Import of the library"):
            tables.append(preview.import_table())
    if "preview" not in wanted:
        return
    with progress.step(f"Preview of {preview.CLUSTERS} clusters under mocks"):
        tables.append(preview.mocks_table())
    with progress.step(f"Preview of {preview.CLUSTERS} clusters on the engine") as step:
        table = preview.engine_table()
        if table is None:
            step.result = "left out: no Pulumi engine here"
        else:
            tables.append(table)


def on_host(
    progress: Progress,
    host: Path,
    wanted: Sequence[str],
    options: argparse.Namespace,
    tables: Tables,
    sizes: dict[int, float],
) -> None:
    """What one virtual cluster is enough for. `sizes`: gets its kubelet's memory by number of pods."""
    with direct.ephemeral_cluster(
        name="bench",
        namespace="bench",
        kubeconfig=host,
        on_step=progress.step,
        distribution="kubernetes",
        version=config.KUBERNETES,
    ) as cluster:
        asyncio.run(_on_host(progress, host, cluster, wanted, options, tables, sizes))


async def _on_host(
    progress: Progress,
    host: Path,
    cluster: direct.Cluster,
    wanted: Sequence[str],
    options: argparse.Namespace,
    tables: Tables,
    sizes: dict[int, float],
) -> None:
    async with _sides(host, cluster) as sides:
        with progress.step(f"Memory without pods, {IDLE_SECONDS} s idle"):
            await asyncio.sleep(IDLE_SECONDS)
            sizes[0] = sides.kubelet.resident
        if "latency" in wanted:
            with progress.step(f"Latency: {options.pods} pods on each side"):
                starts = await latency.measure(sides.inside, sides.copies, sides.bare, options.pods)
                tables.append(latency.table(starts))
        if "exec" in wanted:
            with progress.step("Throughput of kubectl exec"):
                tables.append(throughput.table(await _throughput(sides)))
        if "services" in wanted:
            with progress.step(f"Creation of {services.COUNT} Services on each side"):
                tables.append(services.table(await services.measure(sides.inside, sides.bare)))
        if "dns" in wanted:
            with progress.step("Answers of CoreDNS"):
                host_config, inside_config = sides.kubeconfigs
                answers = await dns.measure(
                    config.cache() / "bin" / "kubectl",
                    f"{build.REPOSITORY}:{build.version()}",  # it has a Python in it
                    (sides.bare, host_config),
                    (sides.inside, inside_config),
                )
                tables.append(dns.table(*answers))
        if "burst" in wanted:
            with progress.step(f"Burst of {options.burst} pods, bare"):
                bare = await burst.measure(sides.bare, sides.kubelet, options.burst)
                await burst.clear(sides.bare, options.burst)
            with progress.step(f"Burst of {options.burst} pods, inside"):
                inside = await burst.measure(sides.inside, sides.kubelet, options.burst)
                await asyncio.sleep(simulated.SETTLE_SECONDS)
                sizes[options.burst] = sides.kubelet.resident
            tables.append(burst.table(bare, inside, options.burst))
            with progress.step("Removal of the pods inside"):  # more than the cluster's own removal waits for
                await burst.clear(sides.inside, options.burst)


async def _throughput(sides: Sides) -> throughput.Rates:
    for side in (sides.bare, sides.inside):
        await side.client.create(PODS, side.namespace, throughput.pod())
        await side.until_ready([throughput.POD])
    host, virtual = sides.kubeconfigs
    rates = await asyncio.to_thread(
        throughput.measure, config.cache() / "bin" / "kubectl", (host, BARE), (virtual, INSIDE)
    )
    for side in (sides.bare, sides.inside):
        await delete_pods(side)
    return rates


@asynccontextmanager
async def _sides(kubeconfig: Path, cluster: direct.Cluster) -> AsyncIterator[Sides]:
    """Both clusters watched, with a namespace for pods on each; those are removed afterwards."""
    host, virtual = connect(kubeconfig), connect(cluster.kubeconfig_path)
    try:
        await make_namespace(host, BARE)
        await make_namespace(virtual, INSIDE)
        async with AsyncExitStack() as stack:
            copies = Timeline(host, cluster.namespace, key=latency.virtual_name)
            timelines = (Timeline(host, BARE), copies, Timeline(virtual, INSIDE))
            for timeline in timelines:
                await stack.enter_async_context(timeline.watching())
            kubelet = await of_container(host, cluster.control_plane_namespace, "kubelet")
            yield Sides(host, (kubeconfig, cluster.kubeconfig_path), *timelines, kubelet)
    finally:
        await delete_namespace(host, BARE)
        await host.close()
        await virtual.close()


def write(figures: str, seconds: float) -> None:
    """Puts the figures below the mark of the page."""
    head = PAGE.read_text().partition(MARK)[0]
    today = datetime.datetime.now(datetime.UTC).date()
    took = f"Measured in {seconds / 60:.0f} minutes on {today}: {machine()}."
    PAGE.write_text(f"{head}{MARK}\n{took}\n\n{figures}")


def machine() -> str:
    """What this was measured on."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{os.cpu_count()} cores, {memory_bytes / 2**30:.0f} GiB, Linux {platform.release().split('-')[0]}"


@contextmanager
def _host(kubeconfig: Path | None) -> Iterator[Path]:
    """The given host, or a dev cluster for as long as this runs."""
    if kubeconfig:
        yield kubeconfig
        return
    own("devcluster", "up", "--name", HOST)
    try:
        own("devcluster", "load", "--name", HOST, own("kubelet.image"))
        yield Path(own("devcluster", "kubeconfig", "--name", HOST))
    finally:
        own("devcluster", "down", "--name", HOST)


if __name__ == "__main__":
    sys.exit(main())
