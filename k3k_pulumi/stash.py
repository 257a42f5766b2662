"""The keys of a virtual cluster, kept in the stack's state.

Each run of a program makes new ones, and a Stash keeps the first: a value changes only when its Stash is
replaced (`pulumi up --replace URN`), and no other with it. Keys that are given are kept as well, the Stash
is replaced with each change of them: when they are left out later, the cluster has the last ones still.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pulumi

from k3k_pulumi import pki
from k3k_pulumi.cluster_pki import ClusterPki, KeyPair, ProbeToken, probe_token
from k3k_pulumi.inputs import as_secret
from k3k_pulumi.model.pki import AUTHORITIES

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

ADMIN_RENEWAL_DAYS = 90
"""The administrator's certificate lasts a year; the first deployment in each period of this renews it."""

Text = pulumi.Output[str]


def kept_pki(
    spec: VirtualClusterSpec, parent: pulumi.Resource, name: str, given: Mapping[str, Text]
) -> ClusterPki[Text]:
    """All keys the cluster's distribution uses, secret but for what is public; empty values for the rest.

    Args:
        spec: The cluster.
        parent: The component that the resources belong to.
        name: The component's name, with which their names begin.
        given: Keys that are not to be made, by the fields of `Pki`; pairs are whole.
    """
    keys = _Keys(spec.name, parent, name, given)
    is_k3s = spec.distribution == "k3s"
    authorities = {
        field: _NO_PAIR if is_k3s and field == "etcd_ca" else keys.authority(field) for field in AUTHORITIES
    }
    return ClusterPki(
        **authorities,
        service_account_key=keys.text("service_account_key", pki.create_key()),
        probe_token=keys.probe_token() if is_k3s else ProbeToken(_NONE, _NONE),
        join_token=keys.text("join_token", pki.create_token()) if is_k3s else _NONE,
        admin=keys.admin(authorities["client_ca"]),
    )


@dataclasses.dataclass(frozen=True)
class _Keys:
    """Stashes of one cluster."""

    cluster: str
    parent: pulumi.Resource
    title: str
    given: Mapping[str, Text]

    def keep(
        self,
        name: str,
        value: pulumi.Input[Any],
        trigger: pulumi.Input[Any] = None,
        *,
        is_given: bool = False,
    ) -> pulumi.Output[Any]:
        """The value that is given, else the first one, or the first since `trigger` last changed; secret."""
        opts = pulumi.ResourceOptions(
            parent=self.parent,
            # In an update a Stash would keep the old value beside the new input.
            replace_on_changes=["input"] if is_given else None,
            ignore_changes=None if is_given else ["input"],
            replacement_trigger=trigger,
        )
        stash = pulumi.Stash(f"{self.title}-{name}", input=as_secret(value), opts=opts)
        return as_secret(stash.output)

    def text(self, field: str, made: str) -> Text:
        """A key or token that stands alone: as given, else as made."""
        value = self.given.get(field, made)
        return self.keep(field.replace("_", "-"), value, is_given=field in self.given)

    def authority(self, field: str) -> KeyPair[Text]:
        """A CA: as given, else a new one."""
        name = field.replace("_", "-")
        if f"{field}_key" in self.given:
            parts = {part: self.given[f"{field}_{part}"] for part in ("certificate", "key")}
            return _pair(self.keep(name, pulumi.Output.all(**parts), is_given=True))
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
        forms = self.text("probe_token", pki.create_token()).apply(
            lambda token: dataclasses.asdict(probe_token(token))
        )
        # In clear in the pod's probe, as its user has no rights; else the whole StatefulSet would be secret.
        return ProbeToken(pulumi.Output.unsecret(forms["authorization"]), forms["token_file"])


def _plain(pair: KeyPair[str]) -> dict[str, str]:
    return dataclasses.asdict(pair)


def _pair(kept: pulumi.Output[Mapping[str, str]]) -> KeyPair[Text]:
    return KeyPair(pulumi.Output.unsecret(kept["certificate"]), kept["key"])


_NONE: Text = pulumi.Output.from_input("")
_NO_PAIR = KeyPair(_NONE, _NONE)
