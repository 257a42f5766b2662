# ruff: noqa: ARG002, B027 - what a kind does not override does nothing
"""What makes one kind of objects different from another one, to the controller of copies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from k3k_kubelet.api import ApiError, Resource
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Informer
from k3k_kubelet.cache.store import IndexFunction
from k3k_kubelet.policy import Policy, ToHost
from k3k_kubelet.sync.shared import Shared
from k3k_kubelet.translate import HostObject

if TYPE_CHECKING:
    from k3k_kubelet.sync.copies import Copies


class Kind(ABC):
    """One kind of objects that have copies on the host.

    The methods get objects as a list has them, without apiVersion and kind, and may change what they get.
    What they raise, `Refused` aside, is tried again later.

    Args:
        shared: The two clusters.

    Attributes:
        resource: Of the copies.
        source: Of the objects inside; the same one unless a kind says otherwise.
        copies: The controller that works with this kind; set by it.
        indexes: Further indexes of the store of objects inside.
        host_indexes: The same of the store of copies.
        uses_config: Whether copies use ConfigMaps or Secrets.
        source_selector: What labels of objects inside must say for us to look at them, as a label selector's
            text, beside what the policy says.
        host_selector: What copies' labels must say beside the cluster, as a label selector's text: for kinds
            of which the host's controllers make more with the same labels.
        only_opens: Whether a copy does nothing but let somebody in. One whose change the host refuses goes:
            whom the older one lets in may be nobody's wish any more.
    """

    resource: ClassVar[Resource]
    source: ClassVar[Resource]
    indexes: Mapping[str, IndexFunction] = {}
    host_indexes: Mapping[str, IndexFunction] = {}
    uses_config: ClassVar[bool] = False
    source_selector: str = ""
    host_selector: str = ""
    only_opens: ClassVar[bool] = False
    copies: Copies

    def __init_subclass__(cls) -> None:
        if "source" not in cls.__dict__ and "resource" in cls.__dict__:
            cls.source = cls.resource

    def __init__(self, shared: Shared) -> None:
        self.shared = shared

    @abstractmethod
    def setting(self, policy: Policy) -> ToHost:
        """The part of the policy that says whether there are copies, and of which objects."""

    @abstractmethod
    def to_host(self, obj: Object, host: Object | None) -> HostObject | None:
        """The copy as it should be.

        Args:
            obj: The object inside.
            host: Its copy as it is; None if there is none.

        Returns:
            None where the object needs no copy: one that is there is removed.

        Raises:
            Refused: The host must not have it. The tenant is told; a copy is removed unless `keeps` it.
        """

    async def up(self, obj: Object, host: Object) -> None:
        """Writes inside what the host says of the copy, where that is not there yet."""

    async def down(self, obj: Object) -> None:
        """Takes back what `up` wrote: the copy is about to go, and the object stays."""

    def available(self) -> bool:
        """Whether both API servers have the resource; whoever knows of a change calls `copies.check()`."""
        return True

    def undecided(self) -> bool:
        """Whether it is yet to be found out what `available` says: until then nothing is made or removed."""
        return False

    def alias(self, name: str) -> str:
        """The name that the annotations of the copy of an object of this name say.

        It is the same unless there is more than one kind of copies of the object.
        """
        return name

    def named(self, alias: str) -> str | None:
        """The reverse; None for a copy of another kind."""
        return alias

    def keeps(self, host: Object) -> bool:
        """Whether a copy stays as it is when its object is refused or not selected, or the kind turned off.

        It goes with its object then.
        """
        return False

    def about(self, obj: Object) -> Object:
        """The object of the tenant's that events about the copy of `obj` belong to."""
        return obj

    def ends(self, obj: Object) -> bool:
        """Whether an object that is being deleted, but held by finalizers, loses its copy now."""
        return True

    async def gone(self, obj: Object) -> None:
        """An object that is being deleted has no copy any more: what held it for that may go."""

    async def waits(self, obj: Object | None, host: Object) -> float | None:
        """Asked before anything is done to a copy: seconds for which it is left alone, None for none."""
        return None

    async def refused(self, obj: Object, host: Object | None, error: ApiError) -> bool:
        """The host's API server said no to a copy. True: that has been dealt with, try again at once."""
        return False

    def reduce(self, obj: Object) -> None:
        """Drops what nobody needs of an object inside, in place. Labels are needed for the selector."""

    def reduce_host(self, host: Object) -> None:
        """The same of a copy. What the translation makes must stay: a field that is missing is put back."""

    def known(self) -> None:
        """Both sides are known completely: from now on, and once more on patrol."""

    def new_informers(self) -> Sequence[Informer]:
        """What fills further stores that `to_host` needs: known and followed as the objects are."""
        return ()

    def ended(self) -> None:
        """These stores are no longer current: forget them."""

    def add_all(self) -> None:
        """Looks at everything: at the start, and on patrol."""

    async def run(self) -> None:
        """Whatever goes on beside the copies, whether the kind is turned on or not; cancelled with them."""
