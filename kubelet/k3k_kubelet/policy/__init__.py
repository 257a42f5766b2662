"""What a tenant may do on the host: the document `policy.json`.

`policy.schema.json` is made from these classes: `python -m k3k_kubelet.policy > policy.schema.json`.
"""

from typing import Annotated, Any, Literal

import msgspec

from k3k_kubelet.policy.document import Document, about
from k3k_kubelet.policy.pods import (
    BASELINE_CAPABILITIES,
    SAFE_SYSCTLS,
    HostPath,
    Pods,
    ServiceAccount,
)
from k3k_kubelet.policy.scheduling import Affinity, Toleration
from k3k_kubelet.policy.settings import PodSettings, SecurityContext
from k3k_kubelet.policy.sync import FromHost, Selector, Sync, SyncFromHost, SyncToHost, ToHost

__all__ = [
    "BASELINE_CAPABILITIES",
    "SAFE_SYSCTLS",
    "Affinity",
    "FromHost",
    "HostPath",
    "PodSettings",
    "Pods",
    "Policy",
    "PolicyError",
    "SecurityContext",
    "Selector",
    "ServiceAccount",
    "Sync",
    "SyncFromHost",
    "SyncToHost",
    "ToHost",
    "Toleration",
    "load",
    "schema",
]


class Policy(Document, frozen=True):
    """The whole document."""

    api_version: Literal["k3k-pulumi.io/v1"] = "k3k-pulumi.io/v1"
    pods: Annotated[Pods, about("What the pods of the cluster may do.")] = Pods()
    sync: Annotated[Sync, about("What else of the two clusters is copied to the other one.")] = Sync()


class PolicyError(ValueError):
    """A policy document that cannot be used; the message names the place and what is wrong there."""


def load(document: bytes | str) -> Policy:
    """Read a policy document.

    Args:
        document: JSON. A key left out has its default; `apiVersion` is required.

    Raises:
        PolicyError: not JSON, an unknown key, a wrong type or a value that is not allowed.
    """
    try:
        found = msgspec.json.decode(document, type=dict[str, Any])
        if "apiVersion" not in found:
            raise PolicyError('policy.json: $: "apiVersion" is missing, it must be "k3k-pulumi.io/v1"')
        return msgspec.convert(found, Policy)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at ")
        raise PolicyError(f"policy.json: {place.replace('`', '') or '$'}: {reason}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"policy.json: not valid JSON: {error}") from None


def schema() -> dict[str, Any]:
    """The JSON Schema of the document."""
    made = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(Policy)))
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "policy.json", **made}
    made["$defs"]["Policy"]["required"] = ["apiVersion"]
    return made
