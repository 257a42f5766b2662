"""The component VirtualCluster: wiring of the model, the keys, the manifests and their resources."""

# The component analyzer reads the annotations of this module as they are: no `from __future__` here.

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pulumi
import pulumi_kubernetes

from k3k_pulumi import model
from k3k_pulumi.args import VirtualClusterArgs
from k3k_pulumi.cluster_pki import ClusterPki
from k3k_pulumi.endpoint import endpoint
from k3k_pulumi.errors import InputError
from k3k_pulumi.given_keys import given_keys, hidden, without_outputs
from k3k_pulumi.identity import OF_A_CLUSTER, OF_A_STARTED_CLUSTER, Identity, cluster_values
from k3k_pulumi.inputs import VirtualClusterInputError, ended, is_later, parsed, plain, when_made
from k3k_pulumi.inside import Inside, provider_inside
from k3k_pulumi.kubeconfig import kubeconfig
from k3k_pulumi.late_policy import late_bodies
from k3k_pulumi.manifests import Manifest, virtual_cluster, waits_for_ready
from k3k_pulumi.manifests.policy import constraints_of
from k3k_pulumi.readiness import Readiness, VirtualClusterNotReadyError
from k3k_pulumi.resources import PLACEHOLDER, ExistingNamespace, KubernetesObject, Objects, place

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

TYPE = "k3k-pulumi:index:VirtualCluster"

Parse = Callable[[object, object], "VirtualClusterSpec"]


class VirtualCluster(pulumi.ComponentResource):
    """A Kubernetes cluster of its own inside two namespaces of a host cluster.

    The host is that of the kubernetes provider in the resource's options, else of the default provider.
    What is to live in the virtual cluster takes `parent=cluster.inside` or `provider=cluster.provider`:
    `parent=cluster` alone would put it on the host. In other languages than Python it takes a kubernetes
    provider made of `kubeconfig`: docs/other-languages.md.
    """

    kubeconfig: pulumi.Output[str]
    """Kubeconfig of the cluster's administrator. Secret; there once the cluster is ready."""
    endpoint: pulumi.Output[str]
    """URL of the cluster's API."""
    namespace: pulumi.Output[str]
    """Host namespace of the cluster's workloads."""
    ca_certificate_pem: pulumi.Output[str]
    """Certificate of the CA that signs the API's serving certificate, PEM."""

    def __init__(
        self, name: str, args: VirtualClusterArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Registers the cluster.

        Args:
            name: Name of the resource; of the cluster, too, unless `cluster_name` names it.
            args: See `VirtualClusterArgs`.
            opts: Options of the component; children inherit the kubernetes provider.

        Raises:
            VirtualClusterInputError: Bad arguments; nothing is registered then.
        """
        args = plain(args)
        spec, namespace, parse = _read(name, args)
        super().__init__(TYPE, name, {**args, "pki": hidden(args.get("pki"))}, opts)
        self._spec = spec
        self._parse = parse
        self._name = name
        self._provider: pulumi_kubernetes.Provider | None = None
        self._inside: Inside | None = None
        self.namespace = namespace
        # Imported with the first cluster: what makes keys takes 75 ms.
        from k3k_pulumi.stash import kept_pki

        given = given_keys(name, spec, args.get("pki"), self, namespace)
        keys = kept_pki(spec, self, name, given)
        self.ca_certificate_pem = keys.server_ca.certificate
        self._create(keys, self._late_policy(args.get("policy")))
        self.register_outputs(
            {
                "kubeconfig": self.kubeconfig,
                "endpoint": self.endpoint,
                "namespace": self.namespace,
                "caCertificatePem": self.ca_certificate_pem,
            }
        )

    @property
    def provider(self) -> pulumi_kubernetes.Provider:
        """The kubernetes provider for resources inside the cluster; made when first asked for.

        Raises:
            VirtualClusterInputError: Nobody but the cluster's own pods may reach its API.
        """
        if self._provider is None:
            self._provider = provider_inside(self, self._name, self._spec, self.kubeconfig, self.namespace)
        return self._provider

    @property
    def inside(self) -> Inside:
        """The parent for resources inside the cluster: they use its provider, and are deleted with it.

        Raises:
            VirtualClusterInputError: See `provider`.
        """
        if self._inside is None:
            self._inside = Inside(self, self._name, self.provider)
        return self._inside

    def _late_policy(self, given: object) -> pulumi.Output[Any] | None:
        """The constraints, where they are known only later."""
        if is_later(given):
            return pulumi.Output.from_input(given)
        if not self._spec.policy_from_namespace:
            return None

        def constraints(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
            try:
                return constraints_of(metadata, "policy_from_namespace")
            except ValueError as error:
                raise ended(VirtualClusterInputError(self._about(), [str(error)])) from None

        found = ExistingNamespace(self._name, when_made(self.namespace), self)
        return found.metadata.apply(constraints)

    def _create(self, keys: ClusterPki[pulumi.Output[str]], policy: pulumi.Output[Any] | None) -> None:
        """Registers the host objects, and sets the outputs that depend on them."""
        spec = self._spec
        values = place(cluster_values(spec), self.namespace)
        objects = Objects(self, self._name, spec.names, Identity(self, self._name, values, OF_A_CLUSTER))
        manifests = virtual_cluster(spec, keys)
        body = self._bodies(manifests, keys, policy)
        readiness = Readiness(self, self._name, spec, self._placed)
        for manifest in manifests:
            if not waits_for_ready(manifest):
                made = objects.register(manifest, body(manifest), readiness.options(manifest))
                if manifest["kind"] == "Service" and manifest["metadata"]["name"] == spec.names.api:
                    self.endpoint = _endpoint(spec, made, self._about())
        text = _kubeconfig(spec, self.endpoint, keys)
        # URNs are known in previews; in a deployment, when all is ready and the API has answered here.
        urns = []
        for manifest in filter(waits_for_ready, manifests):
            made = objects.register(manifest, body(manifest), readiness.options(manifest))
            urns.append(made.urn)
            if manifest["kind"] == "StatefulSet":
                Identity(self, self._name, values, OF_A_STARTED_CLUSTER, once=made)
                if proof := readiness.prove(made, self.endpoint, text):
                    urns.append(proof.urn)
        self.kubeconfig = pulumi.Output.all(text, *urns).apply(lambda known: known[0])

    def _bodies(
        self,
        manifests: list[Manifest],
        keys: ClusterPki[pulumi.Output[str]],
        policy: pulumi.Output[Any] | None,
    ) -> Callable[[Manifest], Any]:
        """What to create in place of a manifest: with the namespace, and with what a later policy says."""
        late: Callable[[Manifest], Mapping[str, Any]] = lambda manifest: manifest  # noqa: E731
        if policy is not None:
            late = late_bodies(
                manifests,
                lambda constraints: self._parse(self._spec.namespace, constraints),
                policy,
                keys,
                self.namespace,
                self._about(),
            )
        if self._spec.namespace != PLACEHOLDER:
            return late
        return lambda manifest: place(late(manifest), self.namespace)

    def _placed(self, name: str) -> pulumi.Output[str]:
        """The name of a namespace with the true one in place of the placeholder."""
        return pulumi.Output.from_input(place(name, self.namespace))

    def _about(self) -> str:
        return f"VirtualCluster {self._name!r}"


def _read(name: str, args: VirtualClusterArgs) -> tuple["VirtualClusterSpec", pulumi.Output[str], Parse]:
    """The specification, the true namespace, and what makes a specification of a namespace and a policy.

    In the specification, a namespace that is an Output has a placeholder, and a policy that is known only
    later is missing.

    Raises:
        VirtualClusterInputError: Bad arguments. Where only an Output's value is bad, the program ends then.
    """
    given, policy = args.get("namespace"), args.get("policy")
    refused = partial(VirtualClusterInputError, f"VirtualCluster {name!r}")

    def parse(namespace: object, constraints: object) -> "VirtualClusterSpec":
        pki = without_outputs(args.get("pki"))
        known = {**args, "namespace": namespace, "policy": constraints, "pki": pki}
        if constraints is not None and policy is None:
            known["policy_from_namespace"] = None  # that is where they are from
        return parsed(model.VirtualClusterSpec.parse, name, known, "cluster_name", refused)

    plain_policy = None if is_later(policy) else policy

    def check(namespace: str) -> str:
        try:
            return parse(namespace, plain_policy).namespace
        except InputError as error:
            raise ended(error) from None

    if not is_later(given):
        spec = parse(given, plain_policy)
        return spec, pulumi.Output.from_input(spec.namespace), parse
    return parse(PLACEHOLDER, plain_policy), pulumi.Output.from_input(given).apply(check), parse


def _endpoint(spec: "VirtualClusterSpec", service: KubernetesObject, about: str) -> pulumi.Output[str]:
    """URL of the API; unknown in a preview as long as the host has not allocated its parts."""

    def found(service_spec: object, service_status: object) -> pulumi.Input[str]:
        url = endpoint(spec, {"spec": service_spec, "status": service_status})
        if url is not None:
            return url
        if pulumi.runtime.is_dry_run():
            return pulumi.Output.from_input(cast(str, pulumi.UNKNOWN))
        raise VirtualClusterNotReadyError(
            f"{about}: Service {spec.names.api} has no address yet; does anything on the host serve the type "
            f"{spec.expose.type}?"
        )

    def of_service(service_spec: object) -> pulumi.Input[str]:
        if spec.expose.type != "LoadBalancer":
            return found(service_spec, None)
        return service.status.apply(lambda status: found(service_spec, status))

    # The id is unknown until the Service is there; what a dry run allocates is not what it will have. One
    # after the other: `Output.all` makes Outputs of everything within a Service.
    return service.id.apply(lambda _: service.spec.apply(of_service))


def _kubeconfig(
    spec: "VirtualClusterSpec", url: pulumi.Output[str], keys: ClusterPki[pulumi.Output[str]]
) -> pulumi.Output[str]:
    parts = (url, keys.server_ca.certificate, keys.admin.certificate, keys.admin.key)
    return pulumi.Output.secret(pulumi.Output.all(*parts).apply(lambda known: kubeconfig(spec, *known)))
