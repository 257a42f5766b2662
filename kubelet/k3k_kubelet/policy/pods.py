"""What a tenant's pods may do on the host.

The defaults are the baseline level of the Pod Security Standards, and somewhat stricter where strangers
share a host.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from k3k_kubelet.policy.document import AllowedKey, Document, Name, about
from k3k_kubelet.policy.scheduling import Toleration
from k3k_kubelet.policy.settings import PodSettings

BASELINE_CAPABILITIES = (
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
)
"""Capabilities that Pod Security's baseline lets containers add."""

SAFE_SYSCTLS = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
)
"""Namespaced sysctls of Pod Security's baseline (those of 1.32 and newer)."""

VolumeType = Literal[
    "configMap",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
]
Profile = Annotated[str, Meta(pattern=r"^(RuntimeDefault|Unconfined|Localhost/.+)$")]
_DOMAIN = r"([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[a-fA-F0-9:]+\])(:[0-9]+)?"
ImagePrefix = Annotated[
    str,
    Meta(
        pattern=rf"^(localhost|(?=[^/]*[.:]){_DOMAIN})(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*/?$",
        max_length=255,
    ),
]
"""A registry, or the beginning of the names in one."""
HostPrefix = Annotated[str, Meta(pattern=r"^/$|^(/(?!\.\.?(/|$))[^/]+)+$")]


class HostPath(Document, frozen=True):
    """A part of the nodes' file system that pods may mount."""

    path: Annotated[HostPrefix, about("Absolute path; it and everything below it may be mounted.")]
    read_only: Annotated[
        bool,
        about(
            "Refuse mounts that are not readOnly. Who may write reaches all of the node, by symbolic links."
        ),
    ] = True


class ServiceAccount(Document, frozen=True):
    """A ServiceAccount of the host that the pods of one inside run as."""

    namespace: Annotated[Name, about("Namespace of the ServiceAccount inside.")]
    name: Annotated[Name, about("Its name.")]
    host_service_account: Annotated[
        Name, about("ServiceAccount in the workloads' namespace of the host, with what it may there.")
    ]


class Pods(Document, frozen=True):
    """What the tenant's pods may ask for."""

    host_network: Annotated[bool, about("Pods may use the nodes' network.")] = False
    host_pid: Annotated[bool, about("Pods may see the nodes' processes.")] = field(
        default=False, name="hostPID"
    )
    host_ipc: Annotated[bool, about("Pods may share the nodes' IPC.")] = field(default=False, name="hostIPC")
    host_ports: Annotated[bool, about("Containers may have a hostPort.")] = False
    host_probes: Annotated[
        bool,
        about("Probes and hooks may name a host: the node itself connects to it, past every NetworkPolicy."),
    ] = False
    host_paths: Annotated[
        tuple[HostPath, ...], about("Paths of the nodes that hostPath volumes may mount.")
    ] = ()
    privileged: Annotated[bool, about("Containers may be privileged.")] = False
    volume_types: Annotated[
        tuple[VolumeType, ...], about("Kinds of volumes that pods may have, hostPath aside (see hostPaths).")
    ] = (
        "configMap",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    )
    capabilities: Annotated[
        tuple[str, ...], about("Capabilities that containers may add, without the prefix CAP_.")
    ] = BASELINE_CAPABILITIES
    proc_mounts: Annotated[tuple[Literal["Default", "Unmasked"], ...], about("Values of procMount.")] = (
        "Default",
    )
    seccomp_profiles: Annotated[
        tuple[Profile, ...], about("Seccomp profiles; Localhost/NAME is one file, Localhost/* is any.")
    ] = ("RuntimeDefault",)
    default_seccomp_profile: Annotated[
        Literal["", "RuntimeDefault"],
        about('Seccomp profile of pods that set none; "" leaves it to the nodes: Unconfined on most.'),
    ] = "RuntimeDefault"
    app_armor_profiles: Annotated[
        tuple[Profile, ...], about("AppArmor profiles; Localhost/NAME is one profile, Localhost/* is any.")
    ] = ("RuntimeDefault",)
    se_linux_options: Annotated[
        bool, about("Pods may set any SELinux options; if false, only the types that baseline allows.")
    ] = False
    sysctls: Annotated[tuple[str, ...], about("Sysctls that pods may set.")] = SAFE_SYSCTLS
    priority_classes: Annotated[
        tuple[Name, ...], about("PriorityClasses of the host that pods may use by the same name.")
    ] = ()
    runtime_classes: Annotated[
        tuple[Name, ...], about("RuntimeClasses of the host that pods may use by the same name.")
    ] = ()
    resource_claims: Annotated[
        tuple[Name, ...],
        about("ResourceClaims in the workloads' namespace of the host that pods may use by the same name."),
    ] = ()
    resource_claim_templates: Annotated[
        tuple[Name, ...],
        about(
            "ResourceClaimTemplates in the workloads' namespace of the host that pods may use by the same "
            "name."
        ),
    ] = ()
    allowed_tolerations: Annotated[
        tuple[Toleration, ...],
        about(
            "What pods may tolerate themselves of the host's taints, or less, beside what `defaults` and "
            "`required` have. Nodes that are not-ready or unreachable (NoExecute) they always may."
        ),
    ] = ()
    labels: Annotated[
        tuple[AllowedKey, ...],
        about('Labels that host pods have under their own keys; "example.com/" is a whole prefix.'),
    ] = ()
    annotations: Annotated[
        tuple[AllowedKey, ...],
        about('Annotations that host pods have under their own keys; "example.com/" is a whole prefix.'),
    ] = ()
    service_accounts: Annotated[
        tuple[ServiceAccount, ...],
        about(
            "ServiceAccounts inside whose pods run as one of the host's, for the identities of clouds. "
            "Who may make pods with the one inside has what the one of the host may. No token is mounted, "
            "but those that webhooks of the host add."
        ),
    ] = ()
    always_pull_images: Annotated[
        bool,
        about("Images are pulled at each start, so that nobody runs one that only others may pull."),
    ] = False
    image_registries: Annotated[
        tuple[ImagePrefix, ...] | None,
        about(
            "Where images come from: registries and parts of them, such as `registry.example.com/team/`; "
            "null for anywhere. An image is compared by whole parts of its full name (`nginx` is "
            "`docker.io/library/nginx`), and is no image's id."
        ),
    ] = None
    defaults: Annotated[PodSettings, about("What pods get that do not say it themselves.")] = PodSettings()
    required: Annotated[
        PodSettings, about("What every pod gets. One that asks for something else is refused.")
    ] = PodSettings()

    def __post_init__(self) -> None:
        mapped = [(each.namespace, each.name) for each in self.service_accounts]
        twice = next((each for each in mapped if mapped.count(each) > 1), None)
        if twice:
            raise ValueError(f"`serviceAccounts` has {'/'.join(twice)} twice")
