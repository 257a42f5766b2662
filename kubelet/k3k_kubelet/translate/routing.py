"""What the rules for Ingresses and HTTPRoutes know and note down while one of them is translated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from k3k_kubelet.translate import names
from k3k_kubelet.translate.notes import Notes
from k3k_kubelet.translate.objects import Cluster, ObjectRef, Refused


class Backend(NamedTuple):
    """A port of a Service inside to which a controller of the host forwards.

    Attributes:
        namespace: the Service's namespace inside.
        name: its name inside.
        port: the port's name or number; None if none is named.
    """

    namespace: str
    name: str
    port: str | int | None

    @property
    def service(self) -> str:
        """`namespace/name` of the Service."""
        return f"{self.namespace}/{self.name}"


@dataclass(slots=True)
class Routing(Notes):
    """One translation.

    Attributes:
        cluster: the virtual cluster.
        obj: the tenant's object, never changed.
        secrets: names of the Secrets of its namespace that it uses.
    """

    cluster: Cluster
    obj: Mapping[str, Any]
    secrets: set[str] = field(default_factory=set)

    @property
    def namespace(self) -> str:
        """The object's namespace inside."""
        return str(self.obj["metadata"]["namespace"])

    def name_of(self, namespace: str, name: str, path: str) -> str:
        """Host name of an object that the tenant refers to.

        Raises:
            Refused: no object can have that name.
        """
        if not names.is_name(name):
            raise Refused(path, f"{name!r} is not a name that an object can have", "name one that can be")
        return names.host_name(self.cluster.name, namespace, name)

    def secret(self, name: str, path: str) -> str:
        """Note that the object uses a Secret of its namespace; gives the name of the copy."""
        copy = self.name_of(self.namespace, name, path)
        self.secrets.add(name)
        return copy

    def secret_refs(self) -> frozenset[ObjectRef]:
        """The Secrets that were noted, for the caller. None is waited for: a controller does without."""
        return frozenset(
            ObjectRef(self.namespace, name, names.host_name(self.cluster.name, self.namespace, name), True)
            for name in self.secrets
        )
