"""What the rules of the field table know and note down while one pod is translated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from k3k_kubelet.policy import Pods
from k3k_kubelet.translate import names, services
from k3k_kubelet.translate.notes import Notes
from k3k_kubelet.translate.objects import Cluster, ObjectRef, Refused, TokenProjection


@dataclass(slots=True)
class Context(Notes):
    """One translation.

    Attributes:
        cluster: the virtual cluster.
        policy: what its pods may do.
        pod: the tenant's pod, never changed.
        config_maps: name -> whether every use so far is optional; the same for `secrets` and `claims`.
        tokens: the tokens that the pod mounts, by (audience, life).
    """

    cluster: Cluster
    policy: Pods
    pod: Mapping[str, Any]
    config_maps: dict[str, bool] = field(default_factory=dict)
    secrets: dict[str, bool] = field(default_factory=dict)
    claims: dict[str, bool] = field(default_factory=dict)
    tokens: dict[tuple[str, int], TokenProjection] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """The pod's namespace inside."""
        return str(self.pod["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """The pod's name inside."""
        return str(self.pod["metadata"]["name"])

    @property
    def uid(self) -> str:
        """The pod's uid inside."""
        return str(self.pod["metadata"]["uid"])

    @property
    def labels(self) -> Mapping[str, str]:
        """The pod's labels inside."""
        return self.pod["metadata"].get("labels") or {}

    def host_name(self, name: str) -> str:
        """Host name of an object in the pod's namespace."""
        return names.host_name(self.cluster.name, self.namespace, name)

    def use(self, used: dict[str, bool], name: str, path: str, *, optional: bool) -> str:
        """Note that the pod uses an object of its namespace; gives the name of the copy.

        Raises:
            Refused: no object can have that name.
        """
        if not names.is_name(name):
            raise Refused(
                path, f"{name!r} is not a name that an object can have", "name one of this namespace"
            )
        used[name] = optional and used.get(name, True)
        return self.host_name(name)

    def use_variables(self) -> str:
        """Note that the pod uses the variables of its namespace's Services; gives the ConfigMap's name."""
        name = services.source(self.pod["spec"])
        self.config_maps[name] = False
        return self.host_name(name)

    def references(self, used: Mapping[str, bool]) -> frozenset[ObjectRef]:
        """What was noted, for the caller."""
        return frozenset(
            ObjectRef(self.namespace, name, self.host_name(name), optional) for name, optional in used.items()
        )

    def token(self, audience: str, expiration_seconds: int) -> TokenProjection:
        """Note that the pod mounts a token; equal requests are one."""
        made = TokenProjection(f"token-{len(self.tokens)}", audience, expiration_seconds)
        return self.tokens.setdefault((audience, expiration_seconds), made)
