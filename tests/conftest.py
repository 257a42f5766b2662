"""What every test run obeys: which tests may be left out, and that nothing else is skipped.

A test that needs a part which cannot be had everywhere carries that part's marker (`tests.parts.PARTS`).
Where the part is not at hand the test is left out of the run, and the closing lines name it and the reason.
Any other skip, by whatever means, fails the run: a suite that silently shrinks proves nothing.
"""

from __future__ import annotations

import pytest

from tests import parts, run


def pytest_addoption(parser: pytest.Parser) -> None:
    run.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    for marker, part in parts.PARTS.items():
        config.addinivalue_line("markers", f"{marker}: left out where {part.description} is not at hand")
    config.pluginmanager.register(Completeness(), "k3k-completeness")
    config.pluginmanager.register(run.Run(config), "k3k-run")


class Completeness:
    """Leaves tests out whose part is missing, tells which, and fails a run that skipped anything else."""

    def __init__(self) -> None:
        self.left_out: dict[str, str] = {}  # node id -> reason
        self.skipped: dict[str, str] = {}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Each xdist worker leaves the same out: one that had other tests would end the run."""
        kept = []
        gone = []
        for item in items:
            needed = [name for name in parts.PARTS if item.get_closest_marker(name)]
            reasons = (run.missing_part(config.stash[run.FOLDER], name) for name in needed)
            reason = next(filter(None, reasons), None)
            if reason is None:
                kept.append(item)
            else:
                gone.append(item)
                self.left_out[item.nodeid] = reason
        if gone:
            config.hook.pytest_deselected(items=gone)
            items[:] = kept

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note_skip(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note_skip(report)

    def _note_skip(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            self.skipped[report.nodeid] = str(reason)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """An xdist worker is done: what it left out comes to the one process that prints."""
        self.left_out |= getattr(node, "workeroutput", {}).get("left_out", {})

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if (output := getattr(session.config, "workeroutput", None)) is not None:
            output["left_out"] = self.left_out
        elif self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for title, tests in (("skipped, which fails the run", self.skipped), ("left out", self.left_out)):
            if tests:
                terminalreporter.section(title, yellow=True)
                for nodeid, reason in sorted(tests.items()):
                    terminalreporter.line(f"{nodeid}: {reason}")
