"""Certificates for the kubelet API, and both event loops it runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from kubelet.tests.server import peers

SECONDS = 120.0
Run = Callable[[Callable[[Path], Awaitable[None]]], None]


@pytest.fixture(scope="session")
def _authorities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kubelet-api")
    peers.make_files(folder)
    return folder


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, _authorities: Path) -> Run:
    """Runs a test's coroutine with the folder of `peers.make_files`, on each of the event loops."""
    factory: Any = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    async def limited(test: Callable[[Path], Awaitable[None]]) -> None:
        async with asyncio.timeout(SECONDS):
            await test(_authorities)

    def call(test: Callable[[Path], Awaitable[None]]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(limited(test))

    return call
