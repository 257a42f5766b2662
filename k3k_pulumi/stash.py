"""The keys of a virtual cluster, kept in the stack's state.

Each run of a program makes new ones, and a Stash keeps the first: a value changes only when its Stash is
replaced (`pulumi up --replace URN`), and no other with it.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

import pulumi

from k3k_pulumi import pki
from k3k_pulumi.model import VirtualClusterSpec
from k3k_pulumi.pki import ClusterPki, KeyPair, ProbeToken

ADMIN_RENEWAL_DAYS = 90
"""The administrator's certificate lasts a year; the first deployment in each period of this renews it."""

Text = pulumi.Output[str]


def kept_pki(spec: VirtualClusterSpec, parent: pulumi.Resource, name: str) -> ClusterPki[Text]:
    """All keys the cluster's distribution uses, secret but for what is public; empty values for the rest.

    Args:
        spec: The cluster.
        parent: The component that the resources belong to.
        name: The component's name, with which their names begin.
    """
    keys = _Keys(spec.name, parent, name)
    is_k3s = spec.distribution == "k3s"
    authorities = {
        field: _NO_PAIR if is_k3s and field == "etcd_ca" else keys.authority(field)
        for field in pki.AUTHORITIES
    }
    return ClusterPki(
        **authorities,
        service_account_key=keys.keep("service-account-key", pki.create_key()),
        probe_token=keys.probe_token() if is_k3s else ProbeToken(_NONE, _NONE),
        join_token=keys.keep("join-token", pki.create_token()) if is_k3s else _NONE,
        admin=keys.admin(authorities["client_ca"]),
    )


@dataclasses.dataclass(frozen=True)
class _Keys:
    """Stashes of one cluster."""

    cluster: str
    parent: pulumi.Resource
    title: str

    def keep(
        self, name: str, value: pulumi.Input[Any], trigger: pulumi.Input[Any] = None
    ) -> pulumi.Output[Any]:
        """The value that was kept first, or since `trigger` last changed; secret."""
        opts = pulumi.ResourceOptions(
            parent=self.parent, ignore_changes=["input"], replacement_trigger=trigger
        )
        stash = pulumi.Stash(f"{self.title}-{name}", input=pulumi.Output.secret(value), opts=opts)
        return pulumi.Output.secret(stash.output)

    def authority(self, field: str) -> KeyPair[Text]:
        name = field.replace("_", "-")
        return _pair(self.keep(name, _plain(pki.create_authority(f"{self.cluster}-{name}"))))

    def admin(self, client_ca: KeyPair[Text]) -> KeyPair[Text]:
        """The administrator's client certificate, signed anew with another CA and in each period."""
        signed = pulumi.Output.all(client_ca.certificate, client_ca.key).apply(
            lambda ca: _plain(pki.create_admin(KeyPair(*ca)))
        )
        period = datetime.datetime.now(datetime.UTC).toordinal() // ADMIN_RENEWAL_DAYS
        trigger = client_ca.certificate.apply(lambda certificate: f"{period} {certificate}")
        return _pair(self.keep("admin", signed, trigger))

    def probe_token(self) -> ProbeToken[Text]:
        forms = self.keep("probe-token", pki.create_token()).apply(
            lambda token: dataclasses.asdict(pki.probe_token(token))
        )
        # In clear in the pod's probe, as its user has no rights; else the whole StatefulSet would be secret.
        return ProbeToken(pulumi.Output.unsecret(forms["authorization"]), forms["token_file"])


def _plain(pair: KeyPair[str]) -> dict[str, str]:
    return dataclasses.asdict(pair)


def _pair(kept: pulumi.Output[Mapping[str, str]]) -> KeyPair[Text]:
    return KeyPair(pulumi.Output.unsecret(kept["certificate"]), kept["key"])


_NONE: Text = pulumi.Output.from_input("")
_NO_PAIR = KeyPair(_NONE, _NONE)
