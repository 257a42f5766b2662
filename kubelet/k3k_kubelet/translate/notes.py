"""What a translation notes down beside its result."""

from dataclasses import dataclass, field

from k3k_kubelet.translate.objects import Dropped

MAX_DROPPED = 10


@dataclass(slots=True)
class Notes:
    """One translation; each kind of object has its own, with what its rules have to know.

    Attributes:
        dropped: what was left out and is told to the tenant.
    """

    dropped: list[Dropped] = field(default_factory=list, kw_only=True)

    def drop(self, path: str, reason: str) -> None:
        """Note that a field is left out. Each note becomes an event: no object makes many."""
        if len(self.dropped) < MAX_DROPPED:
            self.dropped.append(Dropped(path, reason))
