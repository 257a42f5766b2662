"""Keys that a cluster gets instead of new ones: what each has to be.

No value is ever shown, in an error or in a representation: problems name the field alone.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, PlainValidator, StrictBool, ValidationInfo, model_validator

from k3k_pulumi.model.later import Later
from k3k_pulumi.model.parts import Part, lines

AUTHORITIES = ("server_ca", "client_ca", "request_header_ca", "kubelet_serving_ca", "etcd_ca")
"""The certificate authorities, fields of `ClusterPki`: each has a `<name>_certificate` and a `<name>_key`."""
OF_K3S = ("join_token", "probe_token")
OF_KUBERNETES = ("etcd_ca_certificate", "etcd_ca_key")
"""Fields that only one distribution has a use for."""


def _given(value: Any, info: ValidationInfo) -> str | Later:
    if not isinstance(value, str | Later):
        raise lines([f"pki.{info.field_name}: must be a string"])
    return value


Given = Annotated[str | Later | None, PlainValidator(_given), Field(repr=False)]


class Pki(Part):
    """The keys to use. What is left out is made once, and kept."""

    from_cluster: StrictBool = False
    server_ca_certificate: Given = None
    server_ca_key: Given = None
    client_ca_certificate: Given = None
    client_ca_key: Given = None
    request_header_ca_certificate: Given = None
    request_header_ca_key: Given = None
    kubelet_serving_ca_certificate: Given = None
    kubelet_serving_ca_key: Given = None
    etcd_ca_certificate: Given = None
    etcd_ca_key: Given = None
    service_account_key: Given = None
    join_token: Given = None
    probe_token: Given = None

    @property
    def given(self) -> dict[str, str | Later]:
        """The keys by their fields, those that are set."""
        values = {field: getattr(self, field) for field in KEYS}
        return {field: value for field, value in values.items() if value is not None}

    @model_validator(mode="after")
    def _is_usable(self) -> Pki:
        given = self.given
        if self.from_cluster and given:
            raise lines(["pki.from_cluster: takes all keys from the cluster: leave it or the other keys out"])
        if given:
            # Reading keys takes a library that few programs need.
            from k3k_pulumi.model.pem import problems

            if found := problems(given):
                raise lines(found)
        return self


KEYS = tuple(field for field in Pki.model_fields if field != "from_cluster")


def useless(pki: Pki, distribution: str) -> list[str]:
    """A line for each key that the distribution has no use for."""
    foreign = OF_KUBERNETES if distribution == "k3s" else OF_K3S
    return [
        f"pki.{field}: has no use with the distribution {distribution!r}: leave it out"
        for field in foreign
        if field in pki.given
    ]
