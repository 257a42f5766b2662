"""What the policy gives pods, by default or in any case: the parts `pods.defaults` and `pods.required`."""

from typing import Annotated, Any

from msgspec import Meta, field

from k3k_kubelet.policy.document import Document, LabelKey, LabelValue, Name, about
from k3k_kubelet.policy.scheduling import Affinity, Toleration

Capability = Annotated[str, Meta(pattern=r"^(?!CAP_)[A-Z][A-Z0-9_]*$")]
_Id = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Capabilities(Document, frozen=True):
    """Capabilities of a container."""

    drop: Annotated[
        tuple[Capability, ...],
        about(
            "Capabilities that containers lose, without the prefix CAP_; `ALL` for all that they do not add."
        ),
    ] = ()


class SecurityContext(Document, frozen=True):
    """Part of a container's security context."""

    run_as_non_root: Annotated[bool | None, about("Containers whose user is root do not start.")] = None
    run_as_user: Annotated[_Id | None, about("The containers' user.")] = None
    run_as_group: Annotated[_Id | None, about("The containers' group.")] = None
    read_only_root_filesystem: Annotated[
        bool | None, about("Containers cannot write to their own file system, but to volumes.")
    ] = None
    allow_privilege_escalation: Annotated[
        bool | None, about("Programs may gain more than their parent has, by setuid for instance.")
    ] = None
    capabilities: Annotated[Capabilities, about("Capabilities of the containers.")] = Capabilities()

    def values(self) -> dict[str, Any]:
        """What it says, by Kubernetes' names, `capabilities` aside."""
        found = self.manifest()
        found.pop("capabilities", None)
        return found


class PodSettings(Document, frozen=True):
    """What pods get."""

    node_selector: Annotated[dict[LabelKey, LabelValue], about("Labels that the pod's node has.")] = field(
        default_factory=dict
    )
    tolerations: Annotated[tuple[Toleration, ...], about("Tolerations.")] = ()
    affinity: Annotated[Affinity, about("Affinity to nodes, `nodeAffinity` alone.")] = Affinity()
    priority_class: Annotated[Name | None, about("PriorityClass of the host.")] = None
    runtime_class: Annotated[Name | None, about("RuntimeClass of the host.")] = None
    host_users: Annotated[
        bool | None, about("Whether pods run in the nodes' user namespace; false gives each one of its own.")
    ] = None
    security_context: Annotated[
        SecurityContext, about("Security context of every container, init and ephemeral ones included.")
    ] = SecurityContext()
