# ruff: noqa: B027 - what happens is for a subclass to say
"""Collections that are watched only while somebody needs them: those of what is turned on, or was."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence

from k3k_kubelet.api import ApiError
from k3k_kubelet.cache import Informer

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0


class Following(ABC):
    """Something that is turned on and off while it runs.

    What is turned off is followed until what it made is gone, and then costs nothing.

    Attributes:
        informers: What fills the stores now.
        is_ready: Whether the stores are complete; nothing is done before.
    """

    def __init__(self, name: str) -> None:
        """Not followed yet.

        Args:
            name: For the log.
        """
        self.informers: Sequence[Informer] = ()
        self.is_ready = False
        self._name = name
        self._wake = asyncio.Event()

    @property
    @abstractmethod
    def is_on(self) -> bool:
        """Whether it is turned on now."""

    def undecided(self) -> bool:
        """Whether it is too early to say anything; `check` is called when that is over."""
        return False

    @abstractmethod
    async def are_left(self) -> bool:
        """Whether something is left of a time when it was turned on; asked while nothing is followed."""

    @abstractmethod
    def is_needed(self) -> bool:
        """Whether it has to be followed on, though it is turned off."""

    def mode(self) -> object:
        """What `new_informers` depends on: when it changes, what is followed is begun anew."""
        return None

    @abstractmethod
    def new_informers(self) -> Sequence[Informer]:
        """What fills the stores from now on."""

    def begun(self) -> None:
        """The stores are complete; nothing has been done yet."""

    def at_rest(self) -> None:
        """It is turned off, and nothing is left."""

    @abstractmethod
    def look_at_all(self) -> None:
        """Looks at everything there is."""

    @abstractmethod
    async def ended(self) -> None:
        """The stores are no longer current: forget them.

        Raises:
            ApiError: Something is still to be done; it is begun again.
        """

    def check(self) -> None:
        """Looks whether it is still turned on, or off."""
        self._wake.set()

    async def follow(self) -> None:
        """Follows whenever there is need, until cancelled."""
        while True:
            while self.undecided():
                await self._woken()
            try:
                while self.is_on or await self.are_left():
                    await self._follow()
                    await self.ended()
            except ApiError as error:
                log.info("not turned off", extra={"kind": self._name, "error": str(error)})
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self.at_rest()
            while not self.is_on:
                await self._woken()

    async def _follow(self) -> None:
        log.info("followed", extra={"kind": self._name})
        self.informers, mode = self.new_informers(), self.mode()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(informer.run()) for informer in self.informers]
                tasks.append(group.create_task(self._begin()))
                while mode == self.mode() and (self.is_on or self.is_needed()):
                    await self._woken()
                for task in tasks:
                    task.cancel()
        finally:
            self.is_ready, self.informers = False, ()
        log.info("no longer followed", extra={"kind": self._name})

    async def _woken(self) -> None:
        self._wake.clear()
        await self._wake.wait()

    async def _begin(self) -> None:
        for informer in self.informers:
            await informer.synced.wait()
        self.begun()
        self.is_ready = True
        self.look_at_all()
        self.check()
